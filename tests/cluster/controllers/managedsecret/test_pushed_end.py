"""What becomes of what was pushed: when it is pushed no longer, when the ManagedSecret goes, and after a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import password
from tests.support.store_proxy import refuse
from tests.support.vault import BUILD_SECONDS

if TYPE_CHECKING:
    from sandbox.harness import Kubectl
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Vault

pytestmark = pytest.mark.timeout(BUILD_SECONDS)


def pushed(space: Space, reason: str = "Pushed") -> None:
    space.until_condition("Pushed", "True", reason)


def finalizers(space: Space) -> list[str]:
    found = space.find("ManagedSecret", "auth")
    return list(found["metadata"].get("finalizers") or ()) if found else []


@pytest.mark.parametrize(("policy", "fate"), [(None, "stays"), ("Retain", "stays"), ("Delete", "goes")])
def test_what_is_pushed_no_longer_goes_as_its_policy_says(
    policy: str | None, fate: str, space: Space, vault: Vault
) -> None:
    more = {"deletionPolicy": policy} if policy else {}
    space.managed(password(), pushTo=[vault.push(**more)])
    pushed(space)

    space.respec(lambda spec: spec.pop("pushTo"))
    space.looked_at()
    space.settled()

    eventually(lambda: (vault.kept() is not None) is (fate == "stays"), "what is left in the store")
    eventually(lambda: finalizers(space) == [], "the finalizer is gone")
    told = [space.until_event("Withdrawn")] if fate == "goes" else space.events("Withdrawn")
    assert len(told) == (fate == "goes")


@pytest.mark.parametrize(("policy", "fate"), [("Retain", "stays"), ("Delete", "goes")])
def test_a_managed_secret_that_goes_takes_with_it_what_its_policy_says(
    policy: str, fate: str, space: Space, vault: Vault
) -> None:
    space.managed(password(), pushTo=[vault.push(deletionPolicy=policy)])
    pushed(space)
    assert finalizers(space) == ([] if fate == "stays" else ["keyturn.dev/pushed"])

    space.delete("ManagedSecret", "auth")

    assert (vault.kept() is not None) is (fate == "stays")


def test_a_store_that_is_away_keeps_it_until_it_is_back(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push(deletionPolicy="Delete")])
    pushed(space)
    vault.store_proxy.fault = lambda _: refuse(503)

    space.objects.delete("ManagedSecret", space.namespace, "auth")
    space.until_condition("Pushed", "False", "ProviderError")
    assert finalizers(space) == ["keyturn.dev/pushed"]

    vault.store_proxy.fault = lambda _: None
    eventually(lambda: space.find("ManagedSecret", "auth") is None, "it goes at last")
    assert vault.kept() is None


def test_one_that_waits_for_its_store_goes_when_the_key_may_stay(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push(deletionPolicy="Delete")])
    pushed(space)
    vault.store_proxy.fault = lambda _: refuse(503)
    space.objects.delete("ManagedSecret", space.namespace, "auth")
    said = space.until_condition("Pushed", "False", "ProviderError")
    assert "deletionPolicy: Retain" in str(said["conditions"])

    space.respec(lambda spec: spec["pushTo"][0].update(deletionPolicy="Retain"))

    eventually(lambda: space.find("ManagedSecret", "auth") is None, "it goes")
    vault.store_proxy.fault = lambda _: None
    assert vault.kept() == space.values()


def test_a_finalizer_that_a_user_took_off_is_put_on_again(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push(deletionPolicy="Delete")])
    pushed(space)

    space.edit("ManagedSecret", "auth", lambda body: body["metadata"].update(finalizers=[]))

    eventually(lambda: finalizers(space) == ["keyturn.dev/pushed"], "the finalizer")


# After a loss


def test_a_new_cluster_finds_again_what_was_pushed(space: Space, vault: Vault) -> None:
    space.managed(pushTo=[vault.push()])
    pushed(space)
    lost = space.values()
    for kind, name in (("ManagedSecret", "auth"), ("Secret", "auth"), ("Secret", "auth-keyturn")):
        space.delete(kind, name)

    status = space.managed(pushTo=[vault.push()])
    pushed(space)

    assert space.values() == lost
    assert status["revision"] == 1
    assert vault.versions() == 1


def test_who_is_deleted_in_the_foreground_takes_along_what_was_pushed(
    space: Space, vault: Vault, kubectl: Kubectl
) -> None:
    gone = {"deletionPolicy": "Delete"}
    space.managed(password(), pushTo=[vault.push(**gone)], target=gone)
    pushed(space)
    vault.store_proxy.fault = lambda _: refuse(503)  # so that Kubernetes is faster

    kubectl(
        "delete",
        "managedsecret",
        "auth",
        f"--namespace={space.namespace}",
        "--cascade=foreground",
        "--wait=false",
    )
    eventually(lambda: space.find("Secret", "auth") is None, "the Secret goes with its ManagedSecret", 150)
    assert space.find("Secret", "auth-keyturn"), "what is to be undone is known"
    vault.store_proxy.fault = lambda _: None

    # The longer Kubernetes took, the longer is the pause after the last refusal.
    eventually(lambda: space.find("ManagedSecret", "auth") is None, "the ManagedSecret is gone", 180)
    assert vault.kept() is None
    eventually(lambda: space.find("Secret", "auth-keyturn") is None, "its record is gone")
