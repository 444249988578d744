"""What goes with a ManagedSecret that is deleted, with Kubernetes' own garbage collector."""

import pytest

from sandbox.harness import Kubectl, eventually
from tests.cluster.namespace import Space, password
from tests.cluster.store_objects import Vault
from tests.support.store_proxy import refuse
from tests.support.vault import BUILD_SECONDS

SECRETS = ("auth", "auth-keyturn")
GONE = {"deletionPolicy": "Delete"}
# The garbage collector looks for new kinds every half minute.
COLLECTED = 90.0


def owners(space: Space) -> list[list[str]]:
    """Return the UIDs of the owners of both Secrets, of one that is not there none."""
    found = [space.find("Secret", name) or {"metadata": {}} for name in SECRETS]
    return [[one["uid"] for one in body["metadata"].get("ownerReferences") or ()] for body in found]


def test_both_secrets_go_with_the_managed_secret_and_one_made_again_at_once_has_its_own(space: Space) -> None:
    space.managed(target=GONE)
    uid = space.get("ManagedSecret", "auth")["metadata"]["uid"]
    assert owners(space) == [[uid], [uid]]

    space.delete("ManagedSecret", "auth")
    space.manage(target=GONE)
    uid = space.get("ManagedSecret", "auth")["metadata"]["uid"]
    eventually(lambda: owners(space) == [[uid], [uid]], "both belong to the new one", COLLECTED)
    space.settled()

    space.delete("ManagedSecret", "auth")
    eventually(lambda: not any(space.find("Secret", name) for name in SECRETS), "both are gone", COLLECTED)


def test_by_default_both_secrets_stay_and_are_found_again(space: Space) -> None:
    space.managed()
    before = space.values()

    space.delete("ManagedSecret", "auth")
    space.managed()

    assert space.values() == before
    assert owners(space) == [[], []]


@pytest.mark.timeout(BUILD_SECONDS)
def test_who_is_deleted_in_the_foreground_takes_along_what_was_pushed(
    space: Space, vault: Vault, kubectl: Kubectl
) -> None:
    space.managed(password(), pushTo=[vault.push(**GONE)], target=GONE)
    space.until_condition("Pushed", "True", "Pushed")
    vault.store_proxy.fault = lambda _: refuse(503)  # so that Kubernetes is faster

    here = f"--namespace={space.namespace}"
    kubectl("delete", "managedsecret", "auth", here, "--cascade=foreground", "--wait=false")
    eventually(lambda: space.find("Secret", "auth") is None, "the Secret goes with its ManagedSecret", 150)
    assert space.find("Secret", "auth-keyturn"), "what is to be undone is known"
    assert vault.kept() is not None
    vault.store_proxy.fault = lambda _: None

    # The longer Kubernetes took, the longer is the pause after the last refusal.
    eventually(lambda: space.find("ManagedSecret", "auth") is None, "the ManagedSecret is gone", 180)
    assert vault.kept() is None
    eventually(lambda: space.find("Secret", "auth-keyturn") is None, "its record is gone")


@pytest.mark.timeout(BUILD_SECONDS)
def test_one_that_waits_for_its_store_goes_when_the_key_may_stay(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push(**GONE)])
    space.until_condition("Pushed", "True", "Pushed")
    vault.store_proxy.fault = lambda _: refuse(503)
    space.objects.delete("ManagedSecret", space.namespace, "auth")
    said = space.until_condition("Pushed", "False", "ProviderError")
    assert "deletionPolicy: Retain" in str(said["conditions"])

    space.respec(lambda spec: spec["pushTo"][0].update(deletionPolicy="Retain"))

    eventually(lambda: space.find("ManagedSecret", "auth") is None, "it goes")
    vault.store_proxy.fault = lambda _: None
    assert vault.kept() == space.values()
