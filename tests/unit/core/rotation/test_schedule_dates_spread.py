"""Rotations that a new or changed schedule makes overdue are spread behind the change, and no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.core.errors import Stalled
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.schedule_dates import applied_schedule, natural_dates, spread_since
from keyturn.core.rotation.triggers import (
    due_on_request,
    is_overdue,
    reason_for_revision,
    scheduled_time,
    start_time,
)
from keyturn.core.status.status import Outcome, status_of
from tests.support.cases import case, cases
from tests.unit.core.builders import MADE, NOW, UID, observed, secret_class, state

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Managed

DAY = timedelta(days=1)
EVERY = "every 90d, jitter 0%"
OLD = state(rotated=NOW - 120 * DAY)
LONG: dict[str, Any] = {"text": "every 365d, jitter 0%", "since": (NOW - 120 * DAY).isoformat()}


def look(rotation: dict[str, Any] | None = None, **facts: Any) -> Managed:
    """Look at values that are 120 days old, of a class whose interval has just become 90 days."""
    quarterly = {"every": "90d", "jitter": "0%"} | (rotation or {})
    rotates = secret_class(rotation={name: part for name, part in quarterly.items() if part})
    status = {"revision": 1, "secretName": "db", "schedule": LONG, "nextRotationTime": NOW + 245 * DAY}
    given: dict[str, Any] = {"given": rotates, "state": OLD, "status": status}
    return observed({}, **given | facts)


def later(before: Managed, pause: timedelta, **changes: Any) -> Managed:
    """Look again with the status that the operator has written."""
    status = status_of(before, Outcome(steps.Rest(None)))
    changed = replace(before, now=before.now + pause, **changes)
    return replace(changed, managed=before.managed.model_copy(update={"status": status}))


def test_what_the_change_makes_overdue_is_due_within_a_tenth_of_the_interval() -> None:
    dues = [scheduled_time(look(uid=f"uid-{number}")) for number in range(300)]

    assert all(due and NOW <= due < NOW + 9 * DAY for due in dues)
    by_day = [sum(due is not None and due - NOW < day * DAY for due in dues) for day in range(1, 10)]
    assert all(abs(count - 300 * day / 9) < 45 for day, count in enumerate(by_day, 1))


def test_nothing_starts_before_its_date_and_nothing_is_overdue() -> None:
    changed = look()
    due = scheduled_time(changed)
    assert due

    assert (is_overdue(changed), start_time(changed)) == (False, due)
    assert reason_for_revision(changed) is None
    assert next_step(changed) == steps.Rest(due)

    then = later(changed, due - NOW)

    assert (is_overdue(then), start_time(then)) == (True, due)
    assert isinstance(next_step(then), steps.Stage)


def test_the_status_shows_the_schedule_and_the_date() -> None:
    status = status_of(look(), Outcome(steps.Rest(None)))
    due = scheduled_time(look())
    assert due

    assert status.schedule
    assert (status.schedule.text, status.schedule.since, status.next_rotation_time) == (EVERY, NOW, due)
    (rotating,) = (one for one in status.conditions if one.type == "Rotating")
    assert (rotating.reason, f"due at {due:%Y-%m-%d %H:%M} UTC" in rotating.message) == ("Idle", True)


def test_the_message_ends_with_the_wait() -> None:
    assert spread_since(look()) == NOW
    assert spread_since(later(look(), 9 * DAY)) is None
    assert spread_since(observed({"rotation": {"every": "90d"}})) is None
    assert spread_since(observed({})) is None


@settings(max_examples=200)
@given(pause=st.timedeltas(timedelta(0), 9 * DAY), uid=st.text("0123456789abcdef-", min_size=1, max_size=36))
def test_the_date_stays_however_often_it_is_computed(pause: timedelta, uid: str) -> None:
    changed = look(uid=uid)

    assert scheduled_time(later(later(changed, pause / 2), pause / 2)) == scheduled_time(changed)


def test_a_process_that_dies_before_the_status_is_written_observes_the_change_later() -> None:
    first, second = scheduled_time(look()), scheduled_time(look(now=NOW + DAY))

    assert first
    assert second == first + DAY


@cases(
    ("spread", "longest"),
    case("of the class", "30d", 30 * DAY),
    case("none", "0s", timedelta(0)),
    case("never longer than the interval", "365d", 90 * DAY),
)
def test_a_class_says_over_how_long(spread: str, longest: timedelta) -> None:
    dues = [scheduled_time(look({"spread": spread}, uid=f"uid-{number}")) for number in range(50)]

    assert all(due and NOW <= due <= NOW + longest for due in dues)
    assert max(due for due in dues if due) >= NOW + longest * 0.9


def test_a_new_cron_schedule_spreads_over_a_tenth_of_its_longest_pause() -> None:
    cron = {"every": None, "jitter": None, "schedule": {"cron": "0 3 * * 1"}}
    dues = [scheduled_time(look(cron, uid=f"uid-{number}")) for number in range(50)]

    assert all(due and NOW <= due <= NOW + 0.7 * DAY for due in dues)
    assert len(set(dues)) == len(dues)


def test_a_date_after_the_change_stays_as_it_is() -> None:
    assert scheduled_time(look(state=state(rotated=NOW - 89 * DAY))) == NOW + DAY


@cases(
    "planned",
    case("it was overdue before", NOW - DAY),
    case("soon", NOW + timedelta(minutes=1)),
)
def test_a_change_never_postpones_what_was_planned(planned: datetime) -> None:
    status = {"revision": 1, "secretName": "db", "schedule": LONG, "nextRotationTime": planned}
    changed = look(status=status)

    assert scheduled_time(changed) == planned
    assert scheduled_time(later(changed, timedelta(minutes=1))) == planned


def test_a_class_that_flaps_postpones_nothing() -> None:
    one, other = look({"every": "80d"}), look()
    due = scheduled_time(one)
    assert due
    seen = one
    for turn in range(10):
        desired = (other if turn % 2 else one).desired
        seen = later(seen, timedelta(minutes=5), desired=desired)
        assert (scheduled_time(seen) or NOW) <= due


def test_a_first_schedule_of_existing_values_is_a_change() -> None:
    without = look({"every": None, "jitter": None}, status={"revision": 1, "secretName": "db"})
    without = replace(without, managed=without.managed.model_copy(update={"status": bare(without)}))
    assert applied_schedule(without) is None

    given = later(without, timedelta(0), desired=look().desired)

    assert (scheduled_time(given) or NOW) > NOW
    assert not is_overdue(given)


def bare(look: Managed) -> Any:
    """Return the status without any date."""
    return look.managed.status.model_copy(update={"next_rotation_time": None})


def test_the_schedule_of_a_new_object_is_as_old_as_the_values() -> None:
    found = look(status={})

    assert [scheduled_time(found)] == list(natural_dates(found).values()) == [NOW - 30 * DAY]
    applied = applied_schedule(found)
    assert applied
    assert applied.since == NOW - 120 * DAY


def test_values_that_wait_for_a_request_are_due_at_once() -> None:
    found = look({"appliedBy": "Nobody"})

    assert due_on_request(found) == NOW - 30 * DAY
    applied = applied_schedule(found)
    assert applied
    assert applied.text == f"{EVERY}, on request"


def test_values_that_wait_for_no_request_any_more_are_spread() -> None:
    found = look({"appliedBy": "Nobody"})

    then = later(found, timedelta(0), desired=look().desired)

    assert (scheduled_time(then) or NOW) > NOW


@cases("since", case("beyond the spread", NOW + 10 * DAY), case("in ten years", NOW + 3650 * DAY))
def test_a_status_that_another_writer_sets_into_the_future_postpones_nothing(since: datetime) -> None:
    found = look(status={"revision": 1, "schedule": {"text": EVERY, "since": since}})

    assert scheduled_time(found) == NOW - 30 * DAY


def test_an_observation_without_state_or_spec_keeps_the_record() -> None:
    known = look().managed.status.schedule

    assert applied_schedule(look(state=None)) == known
    assert applied_schedule(look(spec_error=Stalled("Invalid", "no"))) == known
    assert known
    assert known.since < MADE


def test_the_record_goes_with_the_schedule() -> None:
    found = look({"every": None, "jitter": None})

    assert (applied_schedule(found), scheduled_time(found)) == (None, None)


def test_the_share_of_an_object_is_its_own() -> None:
    assert scheduled_time(look(uid=UID)) == scheduled_time(look(uid=UID))
    assert scheduled_time(look(uid=UID)) != scheduled_time(look(uid="another"))
