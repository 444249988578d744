from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import structlog

from keyturn.kube import clock
from keyturn.kube.clock import ServerClock

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """A wall clock that can be wrong and be set, and a monotonic one that only goes on."""

    def __init__(self) -> None:
        self.wall, self.ticks = START, 1000.0

    def now(self, _zone: object) -> datetime:
        return self.wall

    def goes_on(self, seconds: float) -> None:
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds)

    def answers(self, ours: ServerClock, date: str | None, took: float = 0.0) -> None:
        """Let an answer arrive whose request was sent `took` seconds ago."""
        ours.heard(date, self.ticks - took, self.ticks)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(clock, "datetime", machine)
    monkeypatch.setattr(clock, "monotonic", lambda: machine.ticks)
    return machine


def date(time: datetime) -> str:
    return format_datetime(time, usegmt=True)


@pytest.mark.parametrize("off", [-3 * 86400, -3, 3, 3 * 86400])
def test_the_server_is_believed_and_not_a_wall_clock_that_is_off(machine: Machine, off: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START + off * SECOND))
    assert ours.now() == START + off * SECOND
    machine.goes_on(10)
    assert ours.now() == START + (off + 10) * SECOND


def test_before_the_first_answer_the_wall_clock_has_to_do(machine: Machine) -> None:
    assert ServerClock().now() == machine.wall


def test_a_clock_that_agrees_keeps_its_fractions(machine: Machine) -> None:
    machine.wall += 0.75 * SECOND
    ours = ServerClock()
    machine.answers(ours, date(START))
    assert ours.now() == START + 0.75 * SECOND


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_wall_clock_that_is_set_meanwhile_changes_nothing(machine: Machine, jump: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.wall += jump * SECOND
    machine.goes_on(5)
    machine.answers(ours, date(START + 5 * SECOND))
    assert ours.now() == START + 5 * SECOND


def test_whole_seconds_and_slow_answers_do_not_make_it_jitter(machine: Machine) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    for step, late in enumerate((0, -1, 1, 0, -1), start=1):
        machine.goes_on(1)
        machine.answers(ours, date(START + (step + late) * SECOND))
        assert ours.now() == START + step * SECOND


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_server_clock_that_is_set_is_followed(machine: Machine, jump: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(5)
    machine.answers(ours, date(START + (5 + jump) * SECOND))
    assert ours.now() == START + (5 + jump) * SECOND


@pytest.mark.parametrize("took", [0, 12])
def test_a_body_that_ends_late_makes_no_date_older(machine: Machine, took: int) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(10)
    headers = machine.ticks
    machine.goes_on(12)  # the body is read, or the event loop is blocked
    ours.heard(date(START + 10 * SECOND), headers - took, headers)
    assert ours.now() == START + 22 * SECOND


def test_an_answer_that_was_overtaken_changes_nothing(machine: Machine) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(10)
    machine.answers(ours, date(START + 3610 * SECOND), took=1)
    machine.goes_on(1)
    machine.answers(ours, date(START + 5 * SECOND), took=10)
    machine.answers(ours, date(START + 6 * SECOND), took=1.5)
    assert ours.now() == START + 3611 * SECOND


def test_an_answer_that_waited_for_the_event_loop_changes_nothing(machine: Machine) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(12)
    machine.answers(ours, date(START + SECOND), took=11)
    assert ours.now() == START + 12 * SECOND


@pytest.mark.parametrize(("jump", "after"), [(-3600, -3597), (3600, 3600)], ids=["back", "forward"])
def test_a_slow_answer_changes_the_clock_by_as_little_as_it_proves(
    machine: Machine, jump: int, after: int
) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START))
    machine.goes_on(10)
    machine.answers(ours, date(START + (10 + jump) * SECOND), took=3)
    assert ours.now() == START + (10 + after) * SECOND


def test_before_the_first_answer_a_slow_one_proves_no_wall_clock_wrong(machine: Machine) -> None:
    ours = ServerClock()
    machine.answers(ours, date(START - 10 * SECOND), took=10)
    assert ours.now() == machine.wall
    assert ours.ahead == timedelta(0)


@pytest.mark.parametrize(
    "garbage", [None, "", "yesterday", "Tue, 99 Nov 2026 12:00:00 GMT", "0", "\x00", "Tue, 24 Nov 2026"]
)
def test_a_date_that_is_none_changes_nothing(machine: Machine, garbage: str | None) -> None:
    ours = ServerClock()
    machine.answers(ours, garbage)
    assert ours.now() == machine.wall
    machine.answers(ours, date(START + 3600 * SECOND))
    machine.answers(ours, garbage)
    assert ours.now() == START + 3600 * SECOND


@pytest.mark.parametrize("zone", ["-0000", ""])
def test_a_date_without_a_zone_is_no_crash(machine: Machine, zone: str) -> None:
    ours = ServerClock()
    machine.answers(ours, f"Tue, 24 Nov 2026 12:00:00 {zone}".strip())
    assert abs(ours.now() - machine.wall) < 2 * SECOND


@pytest.mark.parametrize("off", [-300, 300], ids=["behind", "ahead"])
def test_a_wall_clock_that_is_off_is_reported_once_until_it_is_right(machine: Machine, off: int) -> None:
    ours = ServerClock()
    with structlog.testing.capture_logs() as told:
        for second in range(3):
            machine.answers(ours, date(START + (second - off) * SECOND))
            machine.goes_on(1)
        machine.wall -= off * SECOND
        machine.answers(ours, date(machine.wall))
    assert told == [
        {"event": "clock out of sync", "log_level": "warning", "ahead_seconds": off},
        {"event": "clock in sync", "log_level": "info"},
    ]
    assert ours.ahead == timedelta(0)


@pytest.mark.parametrize(("off", "count"), [(59, 0), (60, 1)])
def test_a_wall_clock_that_is_off_by_less_than_a_minute_is_usual(
    machine: Machine, off: int, count: int
) -> None:
    ours = ServerClock()
    with structlog.testing.capture_logs() as told:
        machine.answers(ours, date(machine.wall - off * SECOND))
    assert (ours.ahead, len(told)) == (off * SECOND, count)
