"""When values are replaced: by a trigger, by an annotation, by an interval, by a schedule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, literal, password

if TYPE_CHECKING:
    from keyturn.core.value import Value
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

NIGHTLY = {"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}


def turned(before: dict[str, Value], after: dict[str, Value]) -> set[str]:
    """Return the keys that have another value."""
    assert before.keys() == after.keys()
    return {key for key in before if before[key] != after[key]}


def trigger(space: Space, text: str) -> None:
    space.respec(lambda spec: spec.setdefault("rotation", {}).update(trigger=text))


def time(status: Body, name: str) -> datetime:
    return datetime.fromisoformat(status[name])


# By a person


def test_a_new_trigger_replaces_every_generated_value_once(space: Space) -> None:
    space.managed(password(), bytes_(), literal("username", "shop"), rotation={"trigger": "first"})
    before = space.values()

    trigger(space, "leaver")
    status = space.settled()

    assert turned(before, space.values()) == {"password", "token"}
    assert (status["revision"], status["lastTrigger"]) == (2, "leaver")


def test_a_trigger_that_is_there_at_creation_is_only_recorded(space: Space) -> None:
    space.manage(rotation={"trigger": "first"})
    space.settled()

    space.looked_at()

    assert space.settled(revision=1)["lastTrigger"] == "first"


def test_a_first_trigger_rotates(space: Space) -> None:
    space.managed()
    before = space.values()

    trigger(space, "first")
    space.settled(revision=2)

    assert turned(before, space.values()) == {"password", "token"}


def test_a_trigger_that_goes_rotates_nothing(space: Space) -> None:
    space.managed(rotation={"trigger": "first"})

    space.respec(lambda spec: spec.pop("rotation"))

    space.settled(revision=1)


def test_a_trigger_that_was_handled_does_nothing_when_it_is_written_again(space: Space) -> None:
    space.managed(rotation={"trigger": "first"})
    trigger(space, "leaver")
    space.settled(revision=2)

    space.respec(lambda spec: spec.pop("rotation"))
    space.settled(revision=2)
    trigger(space, "leaver")

    space.settled(revision=2)


def test_a_new_annotation_replaces_every_generated_value_once(space: Space) -> None:
    space.managed()
    before = space.values()

    space.annotate("ManagedSecret", "auth", rotate="leaver")
    space.settled(revision=2)
    space.looked_at()

    assert turned(before, space.values()) == {"password", "token"}
    assert space.status()["revision"] == 2


def test_an_annotation_that_is_there_at_creation_is_only_recorded(space: Space) -> None:
    body = {"name": "auth", "annotations": {"keyturn.dev/rotate": "first"}}
    space.create({"kind": "ManagedSecret", "metadata": body, "spec": {"data": [password()]}})
    space.settled()

    space.looked_at()

    space.settled(revision=1)


def test_an_empty_annotation_asks_for_nothing(space: Space) -> None:
    space.managed()

    space.annotate("ManagedSecret", "auth", rotate="")
    space.looked_at()

    assert space.settled(revision=1)["revision"] == 1


def test_two_triggers_in_one_look_rotate_once(space: Space) -> None:
    space.managed()
    space.respec(lambda spec: spec.update(suspend=True, rotation={"trigger": "leaver"}))
    space.rotate()

    space.respec(lambda spec: spec.update(suspend=False))

    space.settled(revision=2)


def test_only_the_values_that_are_named_rotate(space: Space) -> None:
    space.managed(password(), bytes_(), rotation={"only": ["token"]})
    before = space.values()

    space.rotated()

    assert turned(before, space.values()) == {"token"}


def test_the_history_says_why_each_revision_was_made(space: Space) -> None:
    space.managed()
    space.rotated()
    space.respec(lambda spec: spec["data"].append(literal("username", "shop")))
    space.settled()
    space.respec(lambda spec: spec.update(rotation={"every": "90d"}))
    space.age(100)
    status = space.settled(revision=4)

    entries = [(one["revision"], one["reason"], one["result"]) for one in status["history"]]
    assert entries == [
        (4, "RotationDue", "Succeeded"),
        (3, "SpecChanged", "Succeeded"),
        (2, "Triggered", "Succeeded"),
        (1, "Created", "Succeeded"),
    ]


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


def test_jitter_makes_it_earlier_and_stays_the_same(space: Space) -> None:
    first = space.managed(rotation={"every": "1000s", "jitter": "50%"})
    second = space.rotated()

    pauses = {time(one, "nextRotationTime") - time(one, "lastRotationTime") for one in (first, second)}
    # Times are cut to seconds, after they were added.
    assert max(pauses) - min(pauses) <= timedelta(seconds=1)
    assert timedelta(seconds=500) <= min(pauses) <= max(pauses) <= timedelta(seconds=1000)


def test_jitter_spreads_what_was_created_together(space: Space) -> None:
    for name in ("a", "b", "c", "d"):
        space.manage(name=name, rotation={"every": "100d", "jitter": "50%"})

    due = {space.settled(name)["nextRotationTime"] for name in ("a", "b", "c", "d")}

    assert len(due) == 4


@pytest.mark.parametrize(
    "rotation", [pytest.param({"every": "1d"}, id="interval"), pytest.param({"schedule": NIGHTLY}, id="cron")]
)
def test_several_missed_dates_are_one_rotation(rotation: Body, space: Space) -> None:
    space.managed(rotation=rotation)

    space.age(30)
    space.settled(revision=2)
    space.looked_at()

    assert space.status()["revision"] == 2


def test_a_first_schedule_rotates_old_values_at_a_time_of_its_own(space: Space) -> None:
    space.managed()
    space.age(3000)

    space.respec(lambda spec: spec.update(rotation={"every": "900d"}))
    status = space.until(lambda body: "nextRotationTime" in body["status"], "a date")

    since, due = (
        datetime.fromisoformat(one) for one in (status["schedule"]["since"], status["nextRotationTime"])
    )
    assert since <= due <= since + timedelta(days=90)
    assert (status["overdue"], space.revision()) == (False, "1")


def test_a_cron_expression_is_read_in_its_time_zone(space: Space) -> None:
    utc = {"cron": "0 3 * * *"}
    tokyo = {"cron": "0 3 * * *", "timeZone": "Asia/Tokyo"}

    due = [
        time(space.managed(name=name, rotation={"schedule": schedule}), "nextRotationTime").strftime("%H:%M")
        for name, schedule in (("utc", utc), ("tokyo", tokyo))
    ]

    assert due == ["03:00", "18:00"]


def test_a_rotation_starts_the_interval_again(space: Space) -> None:
    space.managed(rotation={"every": "90d", "jitter": "0%"})
    space.age(60)
    space.until(lambda body: _days_left(body) < 31, "the record says that it is 60 days old")

    space.rotated()

    assert _days_left(space.get("ManagedSecret", "auth")) > 89


def _days_left(body: Body) -> float:
    left = time(body["status"], "nextRotationTime") - datetime.now().astimezone()
    return left / timedelta(days=1)


def test_nothing_but_literals_has_no_due_date(space: Space) -> None:
    space.create({"kind": "SecretClass", "metadata": {"name": f"{space.namespace}-x"}, "spec": _YEARLY})
    try:
        status = space.managed(literal("username", "shop"), className=f"{space.namespace}-x")
    finally:
        space.objects.delete("SecretClass", "", f"{space.namespace}-x")

    assert "nextRotationTime" not in status


_YEARLY = {"rotation": {"every": "365d"}}


def test_a_suspended_schedule_says_that_it_is_overdue(space: Space) -> None:
    space.managed(rotation={"every": "90d"})
    space.respec(lambda spec: spec.update(suspend=True))
    space.age(100)

    eventually(lambda: space.status()["overdue"], "overdue")

    assert space.status()["revision"] == 1
