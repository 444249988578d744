"""Cadence of rotation: interval or cron expression, windows and overlap, from spec, class or default."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.api.rotation import Cadence

__all__ = ["Cron", "Every", "Window", "cadence_of", "overlap_of", "windows_of"]


_UTC = "UTC"
_DEFAULT_JITTER = 10
_DEFAULT_OVERLAP = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Every:
    """Rotation by interval, up to `jitter` percent of it earlier."""

    interval: timedelta
    jitter: int


@dataclass(frozen=True, slots=True)
class Cron:
    """Rotation at fixed points in time."""

    expression: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Window:
    """Period in which a rotation may start: `duration` from each time of `opens`."""

    opens: Cron
    duration: timedelta


def cadence_of(*cadences: Cadence | None) -> Every | Cron | None:
    """Return the first cadence that is set, or None; the jitter may come from a later one."""
    for cadence in cadences:
        if cadence and cadence.schedule:
            return Cron(cadence.schedule.cron, cadence.schedule.time_zone or _UTC)
        if cadence and cadence.every:
            return Every(cadence.every, _jitter(cadences))
    return None


def _jitter(cadences: Iterable[Cadence | None]) -> int:
    written = (cadence.jitter for cadence in cadences if cadence and cadence.jitter)
    return int(next(written, f"{_DEFAULT_JITTER}%").removesuffix("%"))


def windows_of(*cadences: Cadence | None) -> tuple[Window, ...]:
    """Return the windows of the first cadence that sets them, even to an empty list."""
    named = (cadence.windows for cadence in cadences if cadence and cadence.windows is not None)
    return tuple(
        Window(Cron(window.cron, window.time_zone or _UTC), window.duration) for window in next(named, ())
    )


def overlap_of(cadences: Iterable[Cadence | None]) -> timedelta:
    written = (cadence.overlap for cadence in cadences if cadence and cadence.overlap is not None)
    return next(written, _DEFAULT_OVERLAP)
