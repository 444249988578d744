"""When a rotation is due while the spec cannot be followed, or the state is unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.core.errors import Stalled
from keyturn.core.labels import ROTATE
from keyturn.core.observation.emergency import Emergency
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.schedule_dates import applied_schedule, natural_dates, recorded_due, spread_since
from keyturn.core.rotation.steps import Rest
from keyturn.core.rotation.triggers import (
    due_on_request,
    is_due_on_request,
    is_overdue,
    next_time,
    overdue_time,
    reason_for_revision,
    scheduled_time,
    start_time,
)
from keyturn.core.state.records import Validity
from keyturn.core.state.state import RollbackPause
from keyturn.core.status.status import Outcome, status_of
from tests.unit.core import builders as make
from tests.unit.core.builders import MADE, NOW, UID, observed, revision, secret_class, state

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed


DAY, HOUR = timedelta(days=1), timedelta(hours=1)
QUARTERLY: dict[str, Any] = {"every": "90d", "jitter": "0%", "overlap": "0s"}
DUE = MADE + 90 * DAY
NIGHTLY: dict[str, Any] = {"windows": [{"cron": "0 2 * * *", "duration": "1h"}]}
TONIGHT = (NOW + DAY).replace(hour=2)
ASKED = {ROTATE: "leaver"}
WRONG = Stalled("TemplateInvalid", "it cannot be rendered")
RESTS = Outcome(Rest(None))
LACKS = pytest.mark.parametrize("lack", ["spec", "state"])


def told(look: Any) -> dict[str, Any]:
    return status_of(look, RESTS).model_dump(by_alias=True, exclude_none=True)


def blind(before: dict[str, Any], lack: str, now: datetime = NOW, **facts: Any) -> Any:
    """Look without the spec or the state, with the status before."""
    lacks: dict[str, Any] = {"spec_error": WRONG} if lack == "spec" else {"state": None}
    known: dict[str, Any] = {"status": {"nextRotationTime": None} | before, "now": now}
    return observed(**known | facts | lacks)


def later(look: Any, now: datetime) -> Any:
    """Look again after the status was written."""
    return replace(look, now=now, managed=look.managed.model_copy(update={"status": status_of(look, RESTS)}))


@LACKS
@pytest.mark.parametrize(
    "rotation",
    [
        pytest.param(QUARTERLY, id="interval"),
        pytest.param({"schedule": {"cron": "0 11 22 2 *"}}, id="cron"),
    ],
)
def test_a_suspended_one_is_looked_at_when_its_rotation_becomes_overdue(
    rotation: dict[str, Any], lack: str
) -> None:
    spec = {"rotation": rotation, "suspend": True}
    before = told(observed(spec))

    look = blind(before, lack, spec=spec)
    then = later(look, DUE)

    assert (next_step(look), is_overdue(look), next_time(look)) == (Rest(DUE), False, DUE)
    assert (next_step(then), is_overdue(then), next_time(then)) == (Rest(None), True, DUE)


@LACKS
def test_a_request_that_waits_for_a_window_makes_no_date_of_the_schedule(lack: str) -> None:
    before = told(observed({"rotation": QUARTERLY | NIGHTLY}, annotations=ASKED))
    assert before["nextRotationTime"] == TONIGHT

    look = blind(before, lack, spec={"rotation": QUARTERLY | NIGHTLY}, annotations=ASKED)

    assert (is_overdue(look), next_time(look)) == (False, DUE)
    assert [is_overdue(later(look, now)) for now in (TONIGHT + DAY, DUE - HOUR, DUE)] == [False, False, True]


@LACKS
def test_a_request_without_a_schedule_makes_nothing_overdue(lack: str) -> None:
    spec = {"rotation": NIGHTLY}
    before = told(observed(spec, annotations=ASKED))
    assert before["nextRotationTime"] == TONIGHT

    look = later(blind(before, lack, spec=spec, annotations=ASKED), TONIGHT + DAY)

    assert (is_overdue(look), next_time(look)) == (False, None)


@LACKS
def test_a_window_that_a_due_rotation_waits_for_is_a_date_of_the_schedule(lack: str) -> None:
    spec, opens = {"rotation": QUARTERLY | NIGHTLY}, (DUE + DAY).replace(hour=2)
    before = told(observed(spec, now=DUE + HOUR, status={}))
    assert (before["nextRotationTime"], before["overdue"]) == (opens, False)

    look = blind(before, lack, DUE + HOUR, spec=spec)

    assert (is_overdue(look), next_time(look)) == (False, opens)
    assert is_overdue(later(look, opens))


@LACKS
def test_a_pause_between_emergencies_makes_no_date_of_the_schedule(lack: str) -> None:
    spec = {"rotation": QUARTERLY}
    facts: dict[str, Any] = {
        "state": state(revision(2, "Emergency"), revision()),
        "target": make.target(2),
        "emergencies": (Emergency("inc-2", "uid-2", MADE + make.minutes(1)),),
    }
    before = told(observed(spec, now=MADE + make.minutes(2), **facts))
    assert before["nextRotationTime"] == MADE + make.minutes(5)

    look = later(blind(before, lack, spec=spec, **facts), NOW)

    assert (is_overdue(look), next_time(look)) == (False, DUE)


@LACKS
def test_a_value_that_expires_is_overdue_after_its_renewal(lack: str) -> None:
    lives = {"password": Validity(renew=MADE + 30 * DAY, end=MADE + 60 * DAY)}
    before = told(observed({"rotation": QUARTERLY}, state=state(lives=lives)))
    assert before["nextRotationTime"] == MADE + 30 * DAY

    look = blind(before, lack, spec={"rotation": QUARTERLY}, state=state(lives=lives))

    assert [is_overdue(later(look, MADE + days * DAY)) for days in (29, 30)] == [False, True]


def test_a_lease_is_no_date() -> None:
    lives = {"password": Validity(renew=MADE + HOUR, end=MADE + 2 * HOUR)}
    leased = state(lives=lives, leases_by_item={"password": "a-lease"})

    assert next_time(blind({"revision": 1, "nextRotationTime": NOW}, "spec", state=leased)) is None


def test_a_rotation_that_a_rollback_holds_is_overdue_after_its_date() -> None:
    held = state(
        revision(2), revision(), current=1, rollback_pause=RollbackPause(2, 1, MADE + HOUR, failed=True)
    )
    before = told(observed({"rotation": QUARTERLY}, state=held))
    assert "nextRotationTime" not in before

    assert overdue_time(blind(before, "spec", state=held)) == DUE


@pytest.mark.parametrize(
    ("lack", "rotated", "expected"),
    [
        pytest.param("spec", MADE, True, id="values as old as before"),
        pytest.param("spec", MADE + 100 * DAY, False, id="newer values"),
        pytest.param("state", MADE, True, id="unknown values"),
    ],
)
def test_it_is_overdue_until_values_are_newer(lack: str, rotated: datetime, expected: bool) -> None:  # noqa: FBT001
    spec, now = {"rotation": QUARTERLY | NIGHTLY}, MADE + 100 * DAY
    before = told(observed(spec, now=now))
    assert (before["overdue"], before["nextRotationTime"] > now) == (True, True)

    look = blind(before, lack, now + HOUR, spec=spec, state=state(rotated=rotated))

    assert is_overdue(look) is expected


def test_overdue_without_a_recorded_schedule_stays() -> None:
    assert is_overdue(blind({"revision": 1, "overdue": True}, "spec"))


@LACKS
def test_values_that_rotate_on_request_are_due_at_the_date_of_the_schedule(lack: str) -> None:
    spec = {"rotation": QUARTERLY | NIGHTLY | {"appliedBy": "Nobody"}, "suspend": True}
    before = told(observed(spec, annotations=ASKED))
    assert before["nextRotationTime"] == TONIGHT

    look = blind(before, lack, spec=spec, annotations=ASKED)
    then = later(look, DUE)

    assert (next_step(look), due_on_request(look), is_due_on_request(look)) == (Rest(None), DUE, False)
    assert (is_overdue(then), is_due_on_request(then)) == (False, True)


def test_of_a_new_one_no_date_is_known() -> None:
    look = blind({}, "spec", state=None, target=None)

    assert (next_time(look), overdue_time(look), is_overdue(look)) == (None, None, False)


# The schedule of the status


def recorded(text: str, rotated: datetime | None = MADE, now: datetime = NOW) -> datetime | None:
    found = make.managed(status={"schedule": {"text": text, "since": MADE}}, uid=UID)
    return recorded_due(found, rotated, now)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("every 90d, jitter 0%", DUE),
        ("every 1d12h, jitter 0%, on request", MADE + 36 * HOUR),
        ("0 2 * * * (UTC)", TONIGHT),
        ("0 2 * * * (Europe/Berlin), on request", TONIGHT - HOUR),
    ],
)
def test_the_recorded_schedule_has_a_date(text: str, due: datetime) -> None:
    assert recorded(text) == due


@pytest.mark.parametrize(
    "text",
    [
        "",
        "every 90d",
        "every d, jitter 0%",
        "every 99999999d, jitter 0%",
        "every 1s, jitter 0%",
        "61 * * * * (UTC)",
        "0 2 30 2 * (UTC)",
        "0 2 * * * (Nowhere)",
        "whenever (UTC)",
    ],
)
def test_another_text_has_none(text: str) -> None:
    assert recorded(text) is None


def test_values_from_the_future_are_as_old_as_the_next_ones() -> None:
    assert recorded("every 90d, jitter 0%", rotated=datetime.max.replace(tzinfo=NOW.tzinfo)) == NOW + 90 * DAY


def test_without_values_nothing_is_due() -> None:
    assert recorded("every 90d, jitter 0%", rotated=None) is None


# Rotations that a new or changed schedule makes overdue are spread behind the change, and no others


EVERY = "every 90d, jitter 0%"
OLD = state(rotated=NOW - 120 * DAY)
LONG: dict[str, Any] = {"text": "every 365d, jitter 0%", "since": (NOW - 120 * DAY).isoformat()}


def look(rotation: dict[str, Any] | None = None, **facts: Any) -> Observed:
    """Look at values that are 120 days old, of a class whose interval has just become 90 days."""
    quarterly = {"every": "90d", "jitter": "0%"} | (rotation or {})
    rotates = secret_class(rotation={name: part for name, part in quarterly.items() if part})
    status = {"revision": 1, "secretName": "db", "schedule": LONG, "nextRotationTime": NOW + 245 * DAY}
    given: dict[str, Any] = {"given": rotates, "state": OLD, "status": status}
    return observed({}, **given | facts)


def later_by(before: Observed, pause: timedelta, **changes: Any) -> Observed:
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
    assert changed.desired

    assert (is_overdue(changed), start_time(changed)) == (False, due)
    assert reason_for_revision(changed, changed.desired) is None
    assert next_step(changed) == steps.Rest(due)

    then = later_by(changed, due - NOW)

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
    assert spread_since(later_by(look(), 9 * DAY)) is None
    assert spread_since(observed({"rotation": {"every": "90d"}})) is None
    assert spread_since(observed({})) is None


@settings(max_examples=200)
@given(pause=st.timedeltas(timedelta(0), 9 * DAY), uid=st.text("0123456789abcdef-", min_size=1, max_size=36))
def test_the_date_stays_however_often_it_is_computed(pause: timedelta, uid: str) -> None:
    changed = look(uid=uid)

    assert scheduled_time(later_by(later_by(changed, pause / 2), pause / 2)) == scheduled_time(changed)


def test_a_process_that_dies_before_the_status_is_written_observes_the_change_later() -> None:
    first, second = scheduled_time(look()), scheduled_time(look(now=NOW + DAY))

    assert first
    assert second == first + DAY


@pytest.mark.parametrize(
    ("spread", "longest"),
    [
        pytest.param("30d", 30 * DAY, id="of the class"),
        pytest.param("0s", timedelta(0), id="none"),
        pytest.param("365d", 90 * DAY, id="never longer than the interval"),
    ],
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


@pytest.mark.parametrize(
    "planned",
    [
        pytest.param(NOW - DAY, id="it was overdue before"),
        pytest.param(NOW + timedelta(minutes=1), id="soon"),
    ],
)
def test_a_change_never_postpones_what_was_planned(planned: datetime) -> None:
    status = {"revision": 1, "secretName": "db", "schedule": LONG, "nextRotationTime": planned}
    changed = look(status=status)

    assert scheduled_time(changed) == planned
    assert scheduled_time(later_by(changed, timedelta(minutes=1))) == planned


def test_a_class_that_flaps_postpones_nothing() -> None:
    one, other = look({"every": "80d"}), look()
    due = scheduled_time(one)
    assert due
    seen = one
    for turn in range(10):
        desired = (other if turn % 2 else one).desired
        seen = later_by(seen, timedelta(minutes=5), desired=desired)
        assert (scheduled_time(seen) or NOW) <= due


def test_a_first_schedule_of_existing_values_is_a_change() -> None:
    without = look({"every": None, "jitter": None}, status={"revision": 1, "secretName": "db"})
    without = replace(without, managed=without.managed.model_copy(update={"status": bare(without)}))
    assert applied_schedule(without) is None

    given = later_by(without, timedelta(0), desired=look().desired)

    assert (scheduled_time(given) or NOW) > NOW
    assert not is_overdue(given)


def bare(look: Observed) -> Any:
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

    then = later_by(found, timedelta(0), desired=look().desired)

    assert (scheduled_time(then) or NOW) > NOW


@pytest.mark.parametrize(
    "since",
    [pytest.param(NOW + 10 * DAY, id="beyond the spread"), pytest.param(NOW + 3650 * DAY, id="in ten years")],
)
def test_a_status_that_another_writer_sets_into_the_future_postpones_nothing(since: datetime) -> None:
    found = look(status={"revision": 1, "schedule": {"text": EVERY, "since": since}})

    assert scheduled_time(found) == NOW - 30 * DAY


def test_an_observation_without_state_or_spec_keeps_the_record() -> None:
    known = look().managed.status.schedule

    assert applied_schedule(look(state=None)) == known
    assert applied_schedule(look(spec_error=Stalled("Invalid", "no"))) == known
    assert scheduled_time(look(state=None)) is None
    assert known
    assert known.since < MADE


def test_the_record_goes_with_the_schedule() -> None:
    found = look({"every": None, "jitter": None})

    assert (applied_schedule(found), scheduled_time(found)) == (None, None)


def test_the_share_of_an_object_is_its_own() -> None:
    assert scheduled_time(look(uid=UID)) == scheduled_time(look(uid=UID))
    assert scheduled_time(look(uid=UID)) != scheduled_time(look(uid="another"))
