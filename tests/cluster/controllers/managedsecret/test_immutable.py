"""What can still happen to a Secret that is written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually

if TYPE_CHECKING:
    from tests.cluster.namespace import Space

IMMUTABLE = {"immutable": True}


def test_the_secret_is_immutable(space: Space) -> None:
    space.managed(target=IMMUTABLE)

    assert space.get("Secret", "auth")["immutable"] is True


def test_a_secret_can_become_immutable(space: Space) -> None:
    space.managed()
    values = space.values()

    space.respec(lambda spec: spec.update(target=IMMUTABLE))

    eventually(lambda: space.get("Secret", "auth").get("immutable") is True, "it is immutable")
    space.settled(revision=1)
    assert space.values() == values


def test_a_deleted_one_comes_back_with_the_same_values(space: Space) -> None:
    space.managed(target=IMMUTABLE)
    before = space.values()

    space.delete("Secret", "auth")

    eventually(lambda: space.find("Secret", "auth") is not None, "the Secret is back")
    assert space.values() == before
    assert space.get("Secret", "auth")["immutable"] is True


def test_labels_are_still_repaired_and_changed(space: Space) -> None:
    space.managed(target=IMMUTABLE | {"template": {"metadata": {"labels": {"team": "auth"}}}})

    space.edit("Secret", "auth", lambda secret: secret["metadata"]["labels"].pop("team"))

    eventually(lambda: space.get("Secret", "auth")["metadata"]["labels"].get("team") == "auth", "repaired")
    space.settled(revision=1)
