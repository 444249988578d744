"""What can still happen to a Secret that is written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, literal, password

if TYPE_CHECKING:
    from tests.cluster.namespace import Space

IMMUTABLE = {"immutable": True}
SENTENCE = (
    "the Secret 'auth' is immutable and keeps its values, but {}; write another target.name for a Secret with new"
    " values, or revert that change"
)


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


def test_a_change_that_asks_for_another_value_is_not_followed(space: Space) -> None:
    space.managed(password(), target=IMMUTABLE)
    version, values = space.version("Secret", "auth"), space.values()

    space.respec(lambda spec: spec.update(data=[password(length=50)]))

    message = space.stalled("Immutable")
    assert message == SENTENCE.format("the spec asks for other values: password")
    assert (space.version("Secret", "auth"), space.values()) == (version, values)


def test_a_change_that_is_taken_back_leaves_nothing_behind(space: Space) -> None:
    space.managed(password(), target=IMMUTABLE)

    space.respec(lambda spec: spec["data"].append(literal("user", "shop")))
    assert space.stalled("Immutable") == SENTENCE.format("data has new items: user")
    space.respec(lambda spec: spec["data"].pop())

    space.settled(revision=1)


def test_another_name_gets_the_new_values(space: Space) -> None:
    space.managed(password(), target=IMMUTABLE)
    before = space.values()
    space.respec(lambda spec: spec.update(data=[password(length=50)]))
    space.stalled("Immutable")

    space.respec(lambda spec: spec.update(target=IMMUTABLE | {"name": "auth-2"}))

    space.settled(revision=2)
    assert space.lengths("auth-2") == {"password": 50}
    assert space.values() == before


def test_a_trigger_without_generated_values_is_reported(space: Space) -> None:
    space.managed(password(), target=IMMUTABLE)

    space.rotate()

    assert space.stalled("Immutable") == SENTENCE.format("a new trigger asks for it")


def test_the_interval_of_a_class_does_not_count(space: Space) -> None:
    status = space.managed(bytes_(), className="jwt-secret", target=IMMUTABLE)

    assert "nextRotationTime" not in status
