"""When values are replaced: by a trigger, by an annotation, by an interval, by a schedule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyturn.core.value import Value
    from tests.cluster.namespace import Space
    from tests.support.objects import Body


def turned(before: dict[str, Value], after: dict[str, Value]) -> set[str]:
    """Return the keys that have another value."""
    assert before.keys() == after.keys()
    return {key for key in before if before[key] != after[key]}


def trigger(space: Space, text: str) -> None:
    space.respec(lambda spec: spec.setdefault("rotation", {}).update(trigger=text))


def time(status: Body, name: str) -> datetime:
    return datetime.fromisoformat(status[name])


# By a person


def test_a_new_annotation_replaces_every_generated_value_once(space: Space) -> None:
    space.managed()
    before = space.values()

    space.annotate("ManagedSecret", "auth", rotate="leaver")
    space.settled(revision=2)
    space.looked_at()

    assert turned(before, space.values()) == {"password", "token"}
    assert space.status()["revision"] == 2


def test_the_events_of_a_rotation_can_be_read(space: Space) -> None:
    space.managed()

    space.rotated()

    assert space.until_event("Published") == "revision 2 is in the Secret"
    assert space.until_event("Rotated") == "every workload runs revision 2 (Triggered)"


# By the clock


def test_an_interval_rotates_automatically_when_the_status_says(space: Space) -> None:
    before = space.managed(rotation={"every": "10s", "jitter": "0%"})

    after = space.settled(revision=2)

    due = time(before, "nextRotationTime")
    assert due == time(before, "lastRotationTime") + timedelta(seconds=10)
    assert due <= time(after, "lastRotationTime") < due + timedelta(seconds=10)
