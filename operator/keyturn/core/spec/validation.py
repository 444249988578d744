"""Validation of a spec together with its class: jitter against schedule, overlap against interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from keyturn.api.duration import format_duration
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason

from .cadence import Cron, Every
from .schedule import shortest_pause

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
    if rotation is None or rotation.jitter is None or isinstance(desired.cadence, Every):
        return None
    has = "has a schedule, which is exact" if desired.cadence else "has no every"
    return f"rotation.jitter spreads every, and the class {has}; remove jitter, or write every"


def _flaw_of_overlap(desired: Desired) -> str | None:
    """Return why an item with keepPrevious cannot keep its previous value for the whole overlap, or None."""
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


def _shortest_interval(cadence: Every | Cron | None) -> timedelta | None:
    match cadence:
        case Every():
            return cadence.interval * (100 - cadence.jitter) / 100
        case Cron():
            return shortest_pause(cadence)
        case None:
            return None
        case _:
            assert_never(cadence)
