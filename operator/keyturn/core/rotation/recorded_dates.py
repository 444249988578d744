"""When a rotation is due without a spec that can be followed, or without the state: by what the status records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.reasons import ConditionReason
from keyturn.core.times import to_second

from .spread import recorded_due

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed

__all__ = ["last_known_time", "recorded_time", "stays_overdue"]


def last_known_time(observed: Observed) -> datetime | None:
    """Return the next date in the status; if the schedule did not set it, the date of the recorded schedule.

    A date before that of the schedule, and before a value expires, is that of an emergency, or of a request or a
    change in a store that waits for a window. Without the state it is unknown which values expire.
    """
    known, due = observed.managed.status.next_rotation_time, recorded_time(observed)
    if known is None or (due is not None and known >= due):
        return known or due
    return due if observed.state or _was_asked(observed) else known


def recorded_time(observed: Observed) -> datetime | None:
    """Return when values are due by the recorded schedule, or because one expires; stores renew leases."""
    state, managed = observed.state, observed.managed
    rotated = state.rotated if state else managed.status.last_rotation_time
    times = [recorded_due(managed, rotated, observed.now)]
    if state:
        times += [to_second(life.renew) for name, life in state.lives.items() if name not in state.borrowed]
    return min((time for time in times if time), default=None)


def stays_overdue(observed: Observed) -> bool:
    """Whether the rotation that was overdue by the status is still not done."""
    if not observed.managed.status.overdue or (observed.desired and observed.state):
        return False
    due = recorded_time(observed) if observed.state else None
    return due is None or due <= observed.now


def _was_asked(observed: Observed) -> bool:
    """Whether the last known rotation may have been asked for by something else than a date."""
    waits = ("Rotating", ConditionReason.WAITS_FOR_WINDOW)
    told = ((one.type, one.reason) for one in observed.managed.status.conditions)
    return bool(observed.emergencies) or waits in told
