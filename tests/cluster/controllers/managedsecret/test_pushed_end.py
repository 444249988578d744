"""What becomes of what was pushed: when it is pushed no longer, when the ManagedSecret goes, and after a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.core.value import Value
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


def test_what_was_there_before_us_is_never_deleted(space: Space, vault: Vault) -> None:
    vault.keep(somebody="else")
    theirs = vault.push(updatePolicy="IfNotExists", deletionPolicy="Delete")
    space.managed(password(), pushTo=[theirs])
    pushed(space, "Kept")

    space.delete("ManagedSecret", "auth")

    assert vault.kept() == {"somebody": Value(b"else")}


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


def test_one_that_was_let_go_does_not_delete_it_later(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push(deletionPolicy="Delete")])
    pushed(space)
    vault.store_proxy.fault = lambda _: refuse(503)
    space.objects.delete("ManagedSecret", space.namespace, "auth")
    space.respec(lambda spec: spec["pushTo"][0].update(deletionPolicy="Retain"))
    eventually(lambda: space.find("ManagedSecret", "auth") is None, "it goes")
    vault.store_proxy.fault = lambda _: None

    space.managed(password())

    assert vault.kept() == space.values()


def test_a_finalizer_that_a_user_took_off_is_put_on_again(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push(deletionPolicy="Delete")])
    pushed(space)

    space.edit("ManagedSecret", "auth", lambda body: body["metadata"].update(finalizers=[]))

    eventually(lambda: finalizers(space) == ["keyturn.dev/pushed"], "the finalizer")


def test_it_is_written_again_where_it_is_asked_for_again(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push(deletionPolicy="Delete")])
    pushed(space)
    space.respec(lambda spec: spec.pop("pushTo"))
    eventually(lambda: vault.kept() is None, "it is deleted there")

    space.respec(lambda spec: spec.update(pushTo=[vault.push()]))

    vault.until_kept(space.values())


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


def test_the_loss_of_both_secrets_is_made_good(space: Space, vault: Vault) -> None:
    space.managed(pushTo=[vault.push()])
    pushed(space)
    lost = space.values()

    space.respec(lambda spec: spec.update(suspend=True))  # so that nobody repairs one from the other
    space.until_condition("Ready", "True", "Suspended")
    space.delete("Secret", "auth")
    space.delete("Secret", "auth-keyturn")
    space.respec(lambda spec: spec.update(suspend=False))
    eventually(lambda: space.find("Secret", "auth") is not None, "the Secret")
    space.settled()

    assert space.values() == lost


def test_what_lies_there_and_is_too_weak_is_generated_again(space: Space, vault: Vault) -> None:
    vault.keep(password="hunter2")  # noqa: S106
    space.managed(password(), pushTo=[vault.push()])
    pushed(space)
    assert space.lengths() == {"password": 32}
    assert vault.kept() == space.values()


def test_a_store_that_is_away_is_asked_before_a_value_is_made(space: Space, vault: Vault) -> None:
    space.managed(password(), pushTo=[vault.push()])
    pushed(space)
    lost = space.values()
    for kind, name in (("ManagedSecret", "auth"), ("Secret", "auth"), ("Secret", "auth-keyturn")):
        space.delete(kind, name)
    vault.store_proxy.fault = lambda _: refuse(503)

    space.manage(password(), pushTo=[vault.push()])
    space.until_condition("Ready", "False", "ProviderError")
    assert space.find("Secret", "auth") is None

    vault.store_proxy.fault = lambda _: None
    space.settled()
    assert space.values() == lost


def test_two_that_read_what_the_other_writes_come_to_rest(space: Space, vault: Vault) -> None:
    east = vault.push("east"), vault.pull("west", "password", "west")
    west = vault.push("west"), vault.pull("east", "password", "east")
    vault.keep("west", password="first")  # noqa: S106
    space.manage(password(), east[1], name="east", pushTo=[east[0]], refreshInterval="10s")
    eventually(lambda: vault.kept("east") is not None, "the first half")
    space.manage(password(), west[1], name="west", pushTo=[west[0]], refreshInterval="10s")
    space.settled("west")
    eventually(
        lambda: vault.kept("west") == {"password": space.values("west")["password"]}, "the second half"
    )
    space.refreshed("east")
    space.refreshed("west")
    before = space.revision("east"), space.revision("west"), vault.versions("east"), vault.versions("west")

    for _ in range(3):
        space.refreshed("east")
        space.refreshed("west")

    after = space.revision("east"), space.revision("west"), vault.versions("east"), vault.versions("west")
    assert after == before
    assert space.values("east")["west"] == space.values("west")["password"]
    assert space.values("west")["east"] == space.values("east")["password"]


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
