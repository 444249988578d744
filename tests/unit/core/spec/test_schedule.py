"""Due times: never later than asked, fixed per object, right on the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from keyturn.core.errors import Stalled
from keyturn.core.spec import schedule
from keyturn.core.spec.desired import resolve_spec
from keyturn.core.spec.schedule import Cron, Every, Window, check_jitter, check_overlap
from tests.support.cases import case, cases
from tests.unit.core.builders import PASSWORD, managed, secret_class

LAST = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
QUARTER = timedelta(days=90)

intervals = st.timedeltas(timedelta(seconds=10), timedelta(days=36500))
jitters = st.integers(0, 50)
uids = st.uuids().map(str)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
crons = st.builds(
    Cron,
    st.sampled_from(
        ["*/30 1-3 * * *", "30 2 * * *", "15,45 1,2,3 * * *", "0 */2 * * *", "0 3 * * 6", "0 2 1 * *"]
    ),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"]),
)
durations = st.timedeltas(timedelta(minutes=1), timedelta(days=2))
windows = st.lists(st.builds(Window, crons, durations), max_size=3).map(tuple)


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


@cases(
    ("expression", "last", "due"),
    case("summer", "0 3 * * *", "2026-07-01T00:59:59Z", "2026-07-01T01:00:00Z"),
    case("made-at-that-moment", "0 3 * * *", "2026-07-01T01:00:00Z", "2026-07-02T01:00:00Z"),
    case("winter", "0 3 * * *", "2026-12-01T00:00:00Z", "2026-12-01T02:00:00Z"),
    case("next-quarter", "0 3 1 */3 *", "2026-11-24T12:00:00Z", "2027-01-01T02:00:00Z"),
    case("leap-day", "0 3 29 2 *", "2026-11-24T12:00:00Z", "2028-02-29T02:00:00Z"),
    case("spring-skips-that-hour", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
    case("the-day-after-spring", "30 2 * * *", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
    case("autumn-the-first-of-two", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
    case("autumn-not-the-second", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
    case("autumn-made-in-the-second-hour", "30 2 * * *", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
)
def test_a_schedule_follows_its_time_zone(expression: str, last: str, due: str) -> None:
    cadence = Cron(expression, "Europe/Berlin")
    assert schedule.next_due(cadence, datetime.fromisoformat(last), "uid") == datetime.fromisoformat(due)


def test_a_due_time_is_in_utc() -> None:
    due = schedule.next_due(Cron("0 3 * * *", "Asia/Tokyo"), LAST, "uid")
    assert due is not None
    assert due.isoformat() == "2026-11-24T18:00:00+00:00"


@given(crons, moments)
def test_a_schedule_is_always_due_later_than_the_last_time(cron: Cron, last: datetime) -> None:
    due = schedule.next_due(cron, last, "uid")
    assert due is not None
    assert due > last


@given(crons, moments, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_there_is_no_other_moment_before_it_is_due(cron: Cron, last: datetime, later: timedelta) -> None:
    due, after = schedule.next_due(cron, last, "uid"), schedule.next_due(cron, last + later, "uid")
    assert due is not None
    assert after is not None
    assert after == due if last + later < due else after > due


# Clocks that are set


@given(st.one_of(crons, st.builds(Every, intervals, jitters)), moments, uids)
def test_a_clock_that_jumps_ahead_means_one_rotation(cadence: Every | Cron, last: datetime, uid: str) -> None:
    jumped = last + QUARTER
    due = schedule.next_due(cadence, jumped, uid)
    assert due is not None
    assert due > jumped, "what was made after the jump is not due again"


@given(st.one_of(crons, st.builds(Every, intervals, jitters)), moments, uids)
def test_a_clock_that_is_put_back_makes_nothing_due(cadence: Every | Cron, last: datetime, uid: str) -> None:
    due = schedule.next_due(cadence, last, uid)
    assert due is not None
    assert due > last - timedelta(hours=1)


# Windows


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def window(cron: str, hours: float, zone: str = "Europe/Berlin") -> Window:
    return Window(Cron(cron, zone), timedelta(hours=hours))


SATURDAY = window("0 2 * * 6", 3)
NIGHT = window("30 2 * * *", 1)
BOTH_HOURS = window("0 1 25 10 *", 3)


@cases(
    ("given_window", "text", "is_open"),
    case("a second before it opens", SATURDAY, "2026-11-28T00:59:59Z", False),
    case("the moment it opens", SATURDAY, "2026-11-28T01:00:00Z", True),
    case("the last second", SATURDAY, "2026-11-28T03:59:59Z", True),
    case("the moment it closes", SATURDAY, "2026-11-28T04:00:00Z", False),
    case("another day", SATURDAY, "2026-11-27T02:00:00Z", False),
    # 29 March: the clock goes from 02:00 to 03:00, which is 01:00 UTC.
    case("spring, before the hour that is skipped", NIGHT, "2026-03-29T00:59:59Z", False),
    case("spring, it opens after the gap", NIGHT, "2026-03-29T01:00:00Z", True),
    case("spring, for its whole hour", NIGHT, "2026-03-29T01:59:59Z", True),
    case("spring, and no longer", NIGHT, "2026-03-29T02:00:00Z", False),
    # 25 October: the clock goes from 03:00 back to 02:00, which is 01:00 UTC.
    case("autumn, the first half past two", NIGHT, "2026-10-25T00:30:00Z", True),
    case("autumn, an hour that passes", NIGHT, "2026-10-25T01:29:59Z", True),
    case("autumn, not the second half past two", NIGHT, "2026-10-25T01:30:00Z", False),
    case("autumn, three hours reach to 03:00", BOTH_HOURS, "2026-10-25T01:59:59Z", True),
    case("autumn, and not to 04:00", BOTH_HOURS, "2026-10-25T02:00:00Z", False),
)
def test_a_window_is_open_from_its_moment_for_its_duration(
    given_window: Window, text: str, is_open: bool
) -> None:
    assert schedule.is_open((given_window,), moment(text)) == is_open


def test_without_windows_it_is_always_open() -> None:
    assert schedule.is_open((), LAST)
    assert schedule.opening((), LAST) == LAST
    assert schedule.starts_at(LAST, (), LAST + QUARTER) == LAST


@pytest.mark.parametrize("text", ["2026-11-25T01:45:00Z", "2026-11-28T03:00:00Z"], ids=["first", "second"])
def test_one_of_several_windows_is_enough(text: str) -> None:
    assert schedule.is_open((NIGHT, SATURDAY), moment(text))


@cases(
    ("after", "opens"),
    case("the first of several", "2026-11-24T12:00:00Z", "2026-11-25T01:30:00Z"),
    case("one is open", "2026-11-25T02:00:00Z", "2026-11-25T02:00:00Z"),
    case("the rarer one comes first", "2026-11-28T00:30:00Z", "2026-11-28T01:00:00Z"),
)
def test_the_next_opening_is_of_any_window(after: str, opens: str) -> None:
    assert schedule.opening((NIGHT, SATURDAY), moment(after)) == moment(opens)


@cases(
    ("due", "now", "start"),
    case("the next Saturday", "2026-12-01T00:00", "2026-11-24T12:00", "2026-12-05T01:00"),
    case("within a window", "2026-12-05T02:00", "2026-11-24T12:00", "2026-12-05T02:00"),
    case("as it opens", "2026-12-05T01:00", "2026-11-24T12:00", "2026-12-05T01:00"),
    case("as it closes", "2026-12-05T04:00", "2026-11-24T12:00", "2026-12-12T01:00"),
    case("due, and it waits", "2026-11-24T00:00", "2026-11-24T12:00", "2026-11-28T01:00"),
    case("due, and it may", "2026-11-24T00:00", "2026-11-28T02:00", "2026-11-28T01:00"),
    case("due while it was open", "2026-11-28T02:00", "2026-11-28T03:00", "2026-11-28T02:00"),
    case("an opening was missed", "2026-11-24T00:00", "2026-11-28T04:00", "2026-12-05T01:00"),
    case("many were missed", "2026-11-24T00:00", "2027-06-01T00:00", "2027-06-05T00:00"),
)
def test_a_rotation_starts_when_it_is_due_and_a_window_is_open(due: str, now: str, start: str) -> None:
    due_time, now_time, start_time = (moment(f"{text}:00Z") for text in (due, now, start))
    assert schedule.starts_at(due_time, (SATURDAY,), now_time) == start_time


@given(moments, windows, moments)
def test_it_starts_not_before_it_is_due_and_while_a_window_is_open(
    due: datetime, among: tuple[Window, ...], now: datetime
) -> None:
    start = schedule.starts_at(due, among, now)
    assert start >= due
    assert schedule.is_open(among, start)


@given(moments, windows, st.timedeltas(timedelta(0), timedelta(days=60)), moments)
def test_what_is_due_later_does_not_start_earlier(
    due: datetime, among: tuple[Window, ...], later: timedelta, now: datetime
) -> None:
    start = schedule.starts_at(due, among, now)
    assert start <= schedule.starts_at(due + later, among, now)


@given(moments, windows, moments, st.timedeltas(timedelta(0), timedelta(days=60)))
def test_as_time_goes_by_a_start_is_only_put_off(
    due: datetime, among: tuple[Window, ...], now: datetime, later: timedelta
) -> None:
    start = schedule.starts_at(due, among, now)
    assert start <= schedule.starts_at(due, among, now + later)


@given(moments, windows, moments)
def test_a_start_is_to_come_or_now_is_the_time(
    due: datetime, among: tuple[Window, ...], now: datetime
) -> None:
    has_come = schedule.starts_at(due, among, now) <= now
    assert has_come == (due <= now and schedule.is_open(among, now)) or not among


@given(windows, moments)
def test_before_it_opens_it_is_closed(among: tuple[Window, ...], now: datetime) -> None:
    opens = schedule.opening(among, now)
    assert opens >= now
    if opens > now:
        assert not schedule.is_open(among, opens - timedelta(microseconds=1))
        assert not schedule.is_open(among, now + (opens - now) / 2)


# What cannot be kept to


CRON_HINT = (
    ' is no cron expression; write minute, hour, day of month, month and day of week, such as "0 3 1 */3 *"'
)
CRON_RANGE = "or a range from low to high"


@pytest.mark.parametrize(
    ("cadence", "sentence"),
    [
        (Every(timedelta(seconds=9), 0), "rotation.every is too short; write 10s or longer"),
        *(
            (
                Cron(expression, "UTC"),
                f"rotation.schedule.cron {expression!r} has the invalid {field}; write *, {limits}, {CRON_RANGE}",
            )
            for expression, field, limits in (
                ("61 * * * *", "minute '61'", "0 to 59"),
                ("0 22-2 * * *", "hour '22-2'", "0 to 23"),
                ("0 0 0 * *", "day of month '0'", "1 to 31 or L"),
                ("0 0 1 */0 *", "month '*/0'", "1 to 12 or JAN to DEC"),
                ("0 0 1 * SAT-SUN", "day of week 'SAT-SUN'", "0 to 7 or SUN to SAT"),
            )
        ),
        (Cron("0 0 * * * *", "UTC"), f"rotation.schedule.cron '0 0 * * * *'{CRON_HINT}"),
        (
            Cron("0 0 30 2 *", "UTC"),
            "rotation.schedule.cron '0 0 30 2 *' never comes; write a date that exists",
        ),
        (
            Cron("0 0 31 4,6 *", "UTC"),
            "rotation.schedule.cron '0 0 31 4,6 *' never comes; write a date that exists",
        ),
        (Cron("@daily", "UTC"), f"rotation.schedule.cron '@daily'{CRON_HINT}"),
        (
            Cron("0 0 */29 2 1#5", "UTC"),
            "rotation.schedule.cron '0 0 */29 2 1#5' never comes; write a date that exists",
        ),
        *(
            (
                Cron("0 3 * * *", zone),
                f"rotation.schedule.timeZone {zone!r} is unknown; write an IANA name such as Europe/Berlin",
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


@cases(
    ("flawed", "sentence"),
    case(
        "no weekday",
        window("0 2 * * 8", 1),
        f"cron '0 2 * * 8' has the invalid day of week '8'; write *, 0 to 7 or SUN to SAT, {CRON_RANGE}",
    ),
    case("no date", window("0 2 31 2 *", 1), "cron '0 2 31 2 *' never comes; write a date that exists"),
    case(
        "no time zone",
        window("0 2 * * *", 1, "Mars"),
        "timeZone 'Mars' is unknown; write an IANA name such as Europe/Berlin",
    ),
    case("59 seconds", window("0 2 * * *", 59 / 3600), "duration is too short; write 1m or longer"),
)
def test_a_window_that_cannot_be_kept_to_is_refused(flawed: Window, sentence: str) -> None:
    with pytest.raises(Stalled) as caught:
        schedule.check(None, (SATURDAY, flawed))
    assert (caught.value.reason, caught.value.message) == (
        "InvalidSchedule",
        f"rotation.windows[1].{sentence}",
    )


ALWAYS_OPEN = [
    window("0 2 * * *", 24),
    window("0 * * * *", 1),
    window("0 2 * * 6", 168),
    window("0 0 1 * *", 31 * 24),
    window("0 0 1 1 *", 366 * 24),
]


DENSE = [window("* * * * *", 1), window("*/15 * * * *", 1)]


@pytest.mark.parametrize("given_window", [*ALWAYS_OPEN, *DENSE], ids=str)
def test_a_window_that_never_closes_is_refused(given_window: Window) -> None:
    with pytest.raises(Stalled) as caught:
        schedule.check(None, (given_window,))
    assert caught.value.message == (
        "rotation.windows[0] opens again before it has closed and is always open; write a shorter duration"
    )


@pytest.mark.parametrize(
    "given_window",
    [
        *(Window(one.opens, one.duration - timedelta(minutes=1)) for one in ALWAYS_OPEN),
        window("0 2 * * *", 1 / 60),
        window("0 2 * * 5,6", 30),
        window("*/5 9-17 * * *", 1 / 12),
        window("* 9-17 * * *", 1 / 60),
        window("0 0 * 2 1#5", 24),
    ],
    ids=str,
)
def test_a_window_that_closes_passes(given_window: Window) -> None:
    schedule.check(None, (given_window,))


@cases(
    ("expression", "days"),
    case("daily", "0 3 * * *", 1),
    case("quarterly", "0 3 1 */3 *", 92),
    case("daily-in-half-the-year", "0 3 * 1-6 *", 185),
    case("leap-day", "0 3 29 2 *", 1461),
    case("as-rare-as-can-be", "0 0 * 2 1#5", 28 * 365.25),
)
def test_the_longest_pause_of_a_schedule(expression: str, days: float) -> None:
    assert schedule.longest_pause(Cron(expression, "Europe/Berlin")) == timedelta(days=days)


# What it costs


def test_a_moment_is_reckoned_once_however_often_a_look_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    reckoned: list[tuple[str, datetime]] = []

    def counted(expression: str, after: datetime) -> CronSim:
        reckoned.append((expression, after))
        return CronSim(expression, after)

    monkeypatch.setattr(schedule, "CronSim", counted)
    windows = tuple(Window(Cron(f"{minute} 3 29 2 *", "UTC"), timedelta(hours=1)) for minute in range(16))
    now = datetime(2026, 11, 27, 9, 1, 2, 345, tzinfo=UTC)
    for _ in range(3):
        schedule.is_open(windows, now)
        schedule.starts_at(now + timedelta(days=90), windows, now)
        schedule.opening(windows, now + timedelta(days=90))

    assert len(reckoned) == 3 * len(windows)


@pytest.mark.parametrize(
    ("gather", "is_refused"),
    [(None, False), (timedelta(0), False), (timedelta(days=1), False), (QUARTER, True)],
    ids=["the default", "nothing", "a day", "an interval"],
)
def test_values_are_gathered_for_less_than_an_interval(gather: timedelta | None, *, is_refused: bool) -> None:
    cadences = [None, Every(QUARTER, 0), Every(2 * QUARTER, 0)]
    if not is_refused:
        schedule.check_gather(gather, cadences)
        return
    with pytest.raises(Stalled, match="every value would rotate each time"):
        schedule.check_gather(gather, cadences)


# What a spec and its class say together and cannot both mean


Part = dict[str, Any]

KEPT = {**PASSWORD, "keepPrevious": True}
NIGHTLY = {"schedule": {"cron": "0 3 * * *"}}
WORKDAYS = {"schedule": {"cron": "0 3,9 * * 1-5"}}
_ENDS = "lasts until the next rotation, which can come after {} and ends it; write a shorter overlap"


def hold(rotation: Part | None, of_class: Part | None, item: Any = KEPT, template: str | None = None) -> None:
    found = managed({"data": [item], "rotation": rotation})
    wanted = resolve_spec(found, secret_class(rotation=of_class))
    check_jitter(found.spec.rotation, wanted.cadence)
    keeping = next((one.name for one in wanted.items if one.keep_previous), None)
    check_overlap(wanted.cadence, wanted.overlap, wanted.max_overlap, keeping, template)


@cases(
    ("rotation", "of_class", "sentence"),
    case(
        "jitter over a schedule of the class",
        {"jitter": "5%"},
        NIGHTLY,
        "rotation.jitter spreads every, and the class has a schedule, which is exact;"
        " remove jitter, or write every",
    ),
    case(
        "jitter over a class without an interval",
        {"jitter": "5%"},
        {"overlap": "2h"},
        "rotation.jitter spreads every, and the class has no every; remove jitter, or write every",
    ),
    case(
        "an overlap of a day with an interval of an hour",
        {"every": "1h", "jitter": "0%", "overlap": "24h"},
        None,
        f"rotation.overlap (1d) {_ENDS.format('1h')}",
    ),
    case(
        "an overlap that the default jitter can reach",
        {"every": "10d", "overlap": "9d"},
        None,
        f"rotation.overlap (9d) {_ENDS.format('9d')}",
    ),
    case("the default overlap", {"every": "1h"}, None, f"rotation.overlap (1h) {_ENDS.format('54m')}"),
    case(
        "an overlap of the class",
        {"every": "2h"},
        {"overlap": "4h"},
        f"rotation.overlap (4h) {_ENDS.format('1h48m')}",
    ),
    case(
        "an overlap that reaches the next moment of a schedule",
        {**WORKDAYS, "overlap": "6h"},
        None,
        f"rotation.overlap (6h) {_ENDS.format('6h')}",
    ),
    case(
        "no overlap to keep anything",
        {"overlap": "0s"},
        None,
        "keepPrevious of data item 'password' lasts as long as rotation.overlap, which is 0;"
        " write an overlap, or remove keepPrevious",
    ),
    case(
        "a class without an overlap",
        None,
        {"overlap": "0s"},
        "keepPrevious of data item 'password' lasts as long as rotation.overlap, which is 0;"
        " write an overlap, or remove keepPrevious",
    ),
)
def test_what_contradicts_itself_is_refused(
    rotation: Part | None, of_class: Part | None, sentence: str
) -> None:
    with pytest.raises(Stalled) as caught:
        hold(rotation, of_class)

    assert (caught.value.reason, caught.value.message) == ("InvalidSchedule", sentence)


@cases(
    ("rotation", "of_class", "item"),
    case("nothing written", None, None, KEPT),
    case("jitter over an interval of the class", {"jitter": "5%"}, {"every": "90d"}, KEPT),
    case("jitter of a class over an own interval", {"every": "90d"}, {"jitter": "5%"}, KEPT),
    case("an overlap that the jitter cannot reach", {"every": "10d", "overlap": "215h"}, None, KEPT),
    case("an overlap within a schedule", {**WORKDAYS, "overlap": "5h"}, None, KEPT),
    case("an overlap that keeps nothing", {"every": "1h", "overlap": "24h"}, None, PASSWORD),
    case("no overlap where nothing is kept", {"overlap": "0s"}, None, PASSWORD),
)
def test_what_can_be_meant_together_passes(rotation: Part | None, of_class: Part | None, item: Any) -> None:
    hold(rotation, of_class, item)


def test_a_template_reads_no_previous_value_that_the_next_rotation_ends() -> None:
    with pytest.raises(Stalled) as caught:
        hold({"every": "1h", "jitter": "0%", "overlap": "24h"}, None, PASSWORD, "JWT_KEYS")

    assert (caught.value.reason, caught.value.message) == (
        "InvalidSchedule",
        f"template 'JWT_KEYS' reads previous values, and rotation.overlap (1d) {_ENDS.format('1h')}",
    )


def test_a_template_may_read_previous_values_until_the_overlap_ends() -> None:
    hold({"every": "10d", "overlap": "1d"}, None, PASSWORD, "JWT_KEYS")
