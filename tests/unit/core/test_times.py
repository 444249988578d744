from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core.times import NOTHING, backoff, clock, pause_end, since, time_of, to_second, until
from tests.support.cases import case, cases

NOON = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("microsecond", [0, 1, 500_000, 999_999])
def test_a_time_is_cut_to_its_second(microsecond: int) -> None:
    assert to_second(NOON.replace(microsecond=microsecond)) == NOON


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-11-24", "2026-11-24T03:00:00"])
def test_what_a_user_writes_instead_of_a_time_is_none(text: str | None) -> None:
    assert time_of(text) is None
    assert time_of("2026-05-01T12:00:30Z") == NOON


@pytest.mark.parametrize(
    ("time", "ago", "to_come"),
    [
        (None, NOTHING, NOTHING),
        (NOON - timedelta(seconds=45), "45s", "45s late"),
        (NOON, "0s", "in 0s"),
        (NOON + timedelta(hours=3, minutes=20), "0s", "in 3h20m"),
        (NOON + timedelta(days=89, hours=3), "0s", "in 89d"),
    ],
)
def test_a_time_is_written_by_its_distance(time: datetime | None, ago: str, to_come: str) -> None:
    assert (since(time, NOON), until(time, NOON)) == (ago, to_come)


def test_a_point_in_time_is_written_as_logs_have_it() -> None:
    assert clock(NOON) == "2026-05-01 12:00:30 UTC"


@cases(
    ("passed", "ends"),
    case("at once", timedelta(0), True),
    case("within the pause", timedelta(milliseconds=999), True),
    case("after the pause", timedelta(seconds=1), False),
    case("after the clock was set back", -timedelta(hours=1), False),
)
def test_a_pause_ends_soon_whatever_happens_to_the_clock(passed: timedelta, ends: bool) -> None:
    last, pause = datetime(2026, 11, 24, 12, tzinfo=UTC), timedelta(seconds=1)

    assert pause_end(last, pause, last + passed) == (last + pause if ends else None)
    assert pause_end(None, pause, last) is None


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempts", "pause"), [(0, 15), (1, 15), (2, 30), (3, 60), (5, 240), (6, 300), (10_000, 300)]
)
def test_each_failure_in_a_row_doubles_the_pause(attempts: int, pause: int) -> None:
    assert backoff(15 * SECOND, attempts, 300 * SECOND) == pause * SECOND
    assert backoff(15.0, attempts, 300.0) == pause


def test_a_first_pause_beyond_the_longest_is_cut() -> None:
    assert backoff(600 * SECOND, 1, 300 * SECOND) == 300 * SECOND
