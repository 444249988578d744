"""Due times: never later than asked, fixed per object, right on the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core import schedule
from keyturn.core.errors import Stalled
from keyturn.core.wanted import Cron, Every

LAST = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
QUARTER = timedelta(days=90)

intervals = st.timedeltas(timedelta(seconds=10), timedelta(days=36500))
jitters = st.integers(0, 50)
uids = st.uuids().map(str)


def test_what_has_no_cadence_is_never_due() -> None:
    assert schedule.next_due(None, LAST, "uid") is None


def test_without_jitter_it_is_due_after_exactly_the_interval() -> None:
    assert schedule.next_due(Every(QUARTER, 0), LAST, "uid") == LAST + QUARTER


@given(intervals, jitters, uids)
def test_jitter_makes_it_earlier_by_at_most_its_share_and_never_later(
    interval: timedelta, jitter: int, uid: str
) -> None:
    due = schedule.next_due(Every(interval, jitter), LAST, uid)
    assert due is not None
    assert LAST + interval * (1 - jitter / 100) - timedelta(milliseconds=1) <= due <= LAST + interval


@given(intervals, jitters, uids, st.timedeltas(timedelta(0), timedelta(days=900)))
def test_what_is_taken_off_is_the_same_for_one_object_every_time(
    interval: timedelta, jitter: int, uid: str, later: timedelta
) -> None:
    cadence = Every(interval, jitter)
    first, second = schedule.next_due(cadence, LAST, uid), schedule.next_due(cadence, LAST + later, uid)
    assert first is not None
    assert second == first + later


def test_objects_made_together_do_not_turn_together() -> None:
    dues = [schedule.next_due(Every(QUARTER, 10), LAST, f"uid-{number}") for number in range(500)]
    days = {(LAST + QUARTER - due).days for due in dues if due}
    assert len(set(dues)) == 500
    assert days == set(range(9)), "the nine days that 10% of 90 are, each used"


@pytest.mark.parametrize(
    ("expression", "last", "due"),
    [
        pytest.param("0 3 * * *", "2026-07-01T00:59:59Z", "2026-07-01T01:00:00Z", id="summer"),
        pytest.param("0 3 * * *", "2026-07-01T01:00:00Z", "2026-07-02T01:00:00Z", id="made-at-that-moment"),
        pytest.param("0 3 * * *", "2026-12-01T00:00:00Z", "2026-12-01T02:00:00Z", id="winter"),
        pytest.param("0 3 1 */3 *", "2026-11-24T12:00:00Z", "2027-01-01T02:00:00Z", id="next-quarter"),
        pytest.param("0 3 29 2 *", "2026-11-24T12:00:00Z", "2028-02-29T02:00:00Z", id="leap-day"),
        pytest.param(
            "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", id="spring-skips-that-hour"
        ),
        pytest.param("30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", id="the-day-after-spring"),
        pytest.param(
            "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", id="autumn-the-first-of-two"
        ),
        pytest.param(
            "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", id="autumn-not-the-second"
        ),
    ],
)
def test_a_schedule_follows_its_time_zone(expression: str, last: str, due: str) -> None:
    cadence = Cron(expression, "Europe/Berlin")
    assert schedule.next_due(cadence, datetime.fromisoformat(last), "uid") == datetime.fromisoformat(due)


def test_a_due_time_is_in_utc() -> None:
    due = schedule.next_due(Cron("0 3 * * *", "Asia/Tokyo"), LAST, "uid")
    assert due is not None
    assert due.isoformat() == "2026-11-24T18:00:00+00:00"


@given(st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_schedule_is_always_due_later_than_the_last_time(last: datetime) -> None:
    due = schedule.next_due(Cron("*/30 1-3 * * *", "Europe/Berlin"), last, "uid")
    assert due is not None
    assert due > last


CRON_HINT = (
    ' is no cron expression; write minute, hour, day of month, month and day of week, such as "0 3 1 */3 *"'
)


@pytest.mark.parametrize(
    ("cadence", "sentence"),
    [
        (Every(timedelta(seconds=9), 0), "rotation.every is too short; write 10s or longer"),
        (Cron("61 * * * *", "UTC"), f"schedule.cron '61 * * * *'{CRON_HINT}"),
        (Cron("0 0 30 2 *", "UTC"), f"schedule.cron '0 0 30 2 *'{CRON_HINT}"),
        (Cron("@daily", "UTC"), f"schedule.cron '@daily'{CRON_HINT}"),
        (
            Cron("0 0 */29 2 1#5", "UTC"),
            "schedule.cron '0 0 */29 2 1#5' never comes; write a date that exists",
        ),
        *(
            (
                Cron("0 3 * * *", zone),
                f"schedule.timeZone {zone!r} is unknown; write an IANA name such as Europe/Berlin",
            )
            for zone in ("Europe/Berlim", "Europe", "CEST+2", "../../etc/passwd", "/etc/passwd", "a\0b", "ü")
        ),
    ],
    ids=lambda argument: (
        getattr(argument, "time_zone", None) and f"{argument.expression} {argument.time_zone!r}"
    ),
)
def test_a_cadence_that_cannot_be_followed_is_refused(cadence: Every | Cron, sentence: str) -> None:
    with pytest.raises(Stalled) as caught:
        schedule.check(cadence)
    assert (caught.value.reason, caught.value.message) == ("InvalidSchedule", sentence)


@pytest.mark.parametrize(
    "cadence",
    [None, Every(timedelta(seconds=10), 50), Cron("* * * * *", "UTC"), Cron("0 3 * * *", "Europe/Berlin")],
    ids=str,
)
def test_a_cadence_that_can_be_followed_passes(cadence: Every | Cron | None) -> None:
    schedule.check(cadence)
