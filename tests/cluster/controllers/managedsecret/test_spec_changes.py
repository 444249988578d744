"""What a change of the spec replaces, and what it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.namespace import bytes_, password

if TYPE_CHECKING:
    from keyturn.core.value import Value
    from tests.cluster.namespace import Space
    from tests.support.objects import Body


def kept(before: dict[str, Value], after: dict[str, Value]) -> set[str]:
    """Return the keys whose values are as they were."""
    return {key for key in before.keys() & after.keys() if before[key] == after[key]}


def respecified(space: Space, *data: Body) -> set[str]:
    """Give the ManagedSecret other data, wait until all is done, and return the keys that kept their values."""
    before = space.values()
    space.respec(lambda spec: spec.update(data=list(data)))
    space.settled()
    return kept(before, space.values())


def test_a_key_that_is_added_is_generated_and_the_others_keep_their_values(space: Space) -> None:
    space.managed(password())

    assert respecified(space, password(), bytes_()) == {"password"}
    assert space.lengths() == {"password": 32, "token": 44}


def test_changed_labels_reach_the_secret_without_a_new_revision(space: Space) -> None:
    space.managed(target={"template": {"metadata": {"labels": {"team": "auth"}}}})
    before = space.values()

    space.respec(lambda spec: spec["target"]["template"]["metadata"].update(labels={"team": "core"}))
    space.settled(revision=1)

    assert space.get("Secret", "auth")["metadata"]["labels"]["team"] == "core"
    assert kept(before, space.values()) == {"password", "token"}
