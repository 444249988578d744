"""Whether jitter and overlap of a ManagedSecret can last as its spec says, with the cadence of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from keyturn.api.duration import format_duration
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason

from . import schedule

if TYPE_CHECKING:
    from datetime import timedelta

    from keyturn.api.managedsecret import ManagedSecret

    from .desired import Desired

__all__ = ["hold_together"]


def hold_together(managed: ManagedSecret, desired: Desired) -> None:
    """Validate jitter and overlap; `schedule.check` validates the cadence itself.

    Raises:
        Stalled: InvalidSchedule, with what to write instead.
    """
    if flaw := _flaw_of_jitter(managed, desired) or _flaw_of_overlap(desired):
        raise Stalled(ErrorReason.INVALID_SCHEDULE, flaw)


def _flaw_of_jitter(managed: ManagedSecret, desired: Desired) -> str | None:
    rotation = managed.spec.rotation
    if rotation is None or rotation.jitter is None or isinstance(desired.cadence, schedule.Every):
        return None
    has = "has a schedule, which is exact" if desired.cadence else "has no every"
    return f"rotation.jitter spreads every, and the class {has}; remove jitter, or write every"


def _flaw_of_overlap(desired: Desired) -> str | None:
    """Return why the overlap cannot last as long as the spec says, or None."""
    if desired.max_overlap is not None and desired.max_overlap < desired.overlap:
        return (
            f"rotation.maxOverlap ({format_duration(desired.max_overlap)}) ends the overlap before rotation.overlap"
            f" ({format_duration(desired.overlap)}) is over; write a longer maxOverlap"
        )
    keeping = next((item.name for item in desired.items if item.keep_previous), None)
    if keeping is None:
        return None
    if not desired.overlap:
        return (
            f"keepPrevious of data item {keeping!r} lasts as long as rotation.overlap, which is 0;"
            " write an overlap, or remove keepPrevious"
        )
    pause = _shortest_interval(desired.cadence)
    if pause is None or desired.overlap < pause:
        return None
    return (
        f"rotation.overlap ({format_duration(desired.overlap)}) lasts until the next rotation, which can come after"
        f" {format_duration(pause)} and ends it; write a shorter overlap"
    )


def _shortest_interval(cadence: schedule.Every | schedule.Cron | None) -> timedelta | None:
    match cadence:
        case schedule.Every():
            return cadence.interval * (100 - cadence.jitter) / 100
        case schedule.Cron():
            return schedule.shortest_pause(cadence)
        case None:
            return None
        case _:
            assert_never(cadence)
