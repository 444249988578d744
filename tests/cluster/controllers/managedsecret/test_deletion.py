"""What happens to the two Secrets when their ManagedSecret is deleted, with Kubernetes' own garbage collector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually

if TYPE_CHECKING:
    from tests.cluster.namespace import Space

SECRETS = ("auth", "auth-keyturn")
# The garbage collector looks for new kinds every half minute.
COLLECTED = 90.0


def owners(space: Space, name: str) -> list[dict[str, Any]]:
    return list(space.get("Secret", name)["metadata"].get("ownerReferences") or [])


def test_both_secrets_go_with_the_managed_secret(space: Space) -> None:
    space.managed(target={"deletionPolicy": "Delete"})

    space.delete("ManagedSecret", "auth")

    eventually(
        lambda: not any(space.find("Secret", name) for name in SECRETS), "both Secrets are gone", COLLECTED
    )


def test_the_owner_reference_names_the_managed_secret_and_blocks_nothing(space: Space) -> None:
    space.managed(target={"deletionPolicy": "Delete"})

    uid = space.get("ManagedSecret", "auth")["metadata"]["uid"]
    reference = {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "ManagedSecret",
        "name": "auth",
        "uid": uid,
        "controller": True,
    }
    assert [owners(space, name) for name in SECRETS] == [[reference], [reference]]


def test_by_default_both_secrets_stay_and_are_found_again(space: Space) -> None:
    space.managed()
    before = space.values()

    space.delete("ManagedSecret", "auth")
    space.managed()

    assert space.values() == before
    assert [owners(space, name) for name in SECRETS] == [[], []]


def test_the_policy_can_be_changed_both_ways(space: Space) -> None:
    space.managed()
    values = space.values()

    space.respec(lambda spec: spec.update(target={"deletionPolicy": "Delete"}))
    eventually(lambda: all(owners(space, name) for name in SECRETS), "both are owned")
    space.settled(revision=1)

    space.respec(lambda spec: spec.update(target={"deletionPolicy": "Retain"}))
    eventually(lambda: not any(owners(space, name) for name in SECRETS), "none is owned")
    space.settled(revision=1)
    assert space.values() == values


@pytest.mark.parametrize("name", SECRETS)
def test_an_owner_reference_that_was_removed_is_put_back(name: str, space: Space) -> None:
    space.managed(target={"deletionPolicy": "Delete"})

    space.edit("Secret", name, lambda secret: secret["metadata"].pop("ownerReferences"))

    eventually(lambda: bool(owners(space, name)), "it is owned again")


def test_owners_that_others_added_stay(space: Space) -> None:
    account = space.create({"kind": "ServiceAccount", "metadata": {"name": "other"}})
    other = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "other", "uid": account["metadata"]["uid"]}
    space.managed(target={"deletionPolicy": "Delete"})

    space.edit("Secret", "auth", lambda secret: secret["metadata"]["ownerReferences"].append(other))
    space.respec(lambda spec: spec.update(target={}))

    eventually(lambda: owners(space, "auth") == [other], "only the other owner is left")


def test_one_made_again_at_once_gets_a_secret_too(space: Space) -> None:
    space.managed(target={"deletionPolicy": "Delete"})

    space.delete("ManagedSecret", "auth")
    space.manage(target={"deletionPolicy": "Delete"})

    uid = space.get("ManagedSecret", "auth")["metadata"]["uid"]

    def is_owned_by_the_new_one() -> bool:
        found = [space.find("Secret", name) for name in SECRETS]
        return all(
            secret and [one["uid"] for one in secret["metadata"].get("ownerReferences") or ()] == [uid]
            for secret in found
        )

    eventually(is_owned_by_the_new_one, "both Secrets belong to the new one", COLLECTED)
    space.settled()
