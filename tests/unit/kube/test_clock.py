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
    ours.heard(date(START + off * SECOND))
    assert ours.now() == START + off * SECOND
    machine.goes_on(10)
    assert ours.now() == START + (off + 10) * SECOND


def test_before_the_first_answer_the_wall_clock_has_to_do(machine: Machine) -> None:
    assert ServerClock().now() == machine.wall


def test_a_clock_that_agrees_keeps_its_fractions(machine: Machine) -> None:
    machine.wall += 0.75 * SECOND
    ours = ServerClock()
    ours.heard(date(START))
    assert ours.now() == START + 0.75 * SECOND


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_wall_clock_that_is_set_meanwhile_changes_nothing(machine: Machine, jump: int) -> None:
    ours = ServerClock()
    ours.heard(date(START))
    machine.wall += jump * SECOND
    machine.goes_on(5)
    ours.heard(date(START + 5 * SECOND))
    assert ours.now() == START + 5 * SECOND


def test_whole_seconds_and_slow_answers_do_not_make_it_jitter(machine: Machine) -> None:
    ours = ServerClock()
    ours.heard(date(START))
    for step, late in enumerate((0, -1, 1, 0, -1), start=1):
        machine.goes_on(1)
        ours.heard(date(START + (step + late) * SECOND))
        assert ours.now() == START + step * SECOND


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_server_clock_that_is_set_is_followed(machine: Machine, jump: int) -> None:
    ours = ServerClock()
    ours.heard(date(START))
    machine.goes_on(5)
    ours.heard(date(START + (5 + jump) * SECOND))
    assert ours.now() == START + (5 + jump) * SECOND


@pytest.mark.parametrize(
    "garbage", [None, "", "yesterday", "Tue, 99 Nov 2026 12:00:00 GMT", "0", "\x00", "Tue, 24 Nov 2026"]
)
def test_a_date_that_is_none_changes_nothing(machine: Machine, garbage: str | None) -> None:
    ours = ServerClock()
    ours.heard(garbage)
    assert ours.now() == machine.wall
    ours.heard(date(START + 3600 * SECOND))
    ours.heard(garbage)
    assert ours.now() == START + 3600 * SECOND


@pytest.mark.parametrize("zone", ["-0000", ""])
def test_a_date_without_a_zone_is_no_crash(machine: Machine, zone: str) -> None:
    ours = ServerClock()
    ours.heard(f"Tue, 24 Nov 2026 12:00:00 {zone}".strip())
    assert abs(ours.now() - machine.wall) < 2 * SECOND


@pytest.mark.parametrize("off", [-300, 300], ids=["behind", "ahead"])
def test_a_wall_clock_that_is_off_is_reported_once_until_it_is_right(machine: Machine, off: int) -> None:
    ours = ServerClock()
    with structlog.testing.capture_logs() as told:
        for second in range(3):
            ours.heard(date(START + (second - off) * SECOND))
            machine.goes_on(1)
        machine.wall -= off * SECOND
        ours.heard(date(machine.wall))
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
        ours.heard(date(machine.wall - off * SECOND))
    assert (ours.ahead, len(told)) == (off * SECOND, count)
