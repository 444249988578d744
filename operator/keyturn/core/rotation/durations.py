"""How long a step of a rotation took, from its begin until it was through.

It is read from what was recorded, so that it counts also what another process began: most of a rollout, and all of
an overlap, is waiting.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .steps import Expire, Publish, Revoke, Stage

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed

    from .steps import Step

__all__ = ["duration_of", "rollout_duration"]

_NOTHING = timedelta(0)
_CUT = timedelta(seconds=1)
"""What a time in the status may lack, since it has whole seconds."""


def duration_of(step: Step, observed: Observed, wrote: timedelta, now: datetime) -> timedelta | None:
    """Return how long a step took that is done now; `wrote` is how long its write took.

    None for what is no step of a rotation, and where nobody knows when it began.
    """
    took = _duration_of(step, observed, wrote, now)
    return None if took is None else max(took, _NOTHING)


def _duration_of(step: Step, observed: Observed, wrote: timedelta, now: datetime) -> timedelta | None:
    match step:
        case Stage():
            begun = observed.managed.status.rotation
            return max(wrote, now - begun.started_at - _CUT) if begun else wrote
        case Publish(number=number) if number != observed.managed.status.revision and observed.current:
            return now - observed.current.made
        case Expire():
            return _overlapped(observed, now)
        case Revoke():
            until = observed.current.valid_until if observed.current else None
            return max(wrote, now - until) if until else wrote
        case _:
            return None


def _overlapped(observed: Observed, now: datetime) -> timedelta | None:
    current, history = observed.current, observed.managed.status.history
    if current is None or current.valid_until is None:
        return None
    through = next((one.finished_at for one in history if one.revision == current.number), None)
    return min(now, current.valid_until) - through if through else None


def rollout_duration(observed: Observed, now: datetime) -> tuple[str, timedelta] | None:
    """Return which step it was that ended with the last workload, and how long that took."""
    if (
        observed.state
        and observed.state.held
        and observed.state.current_number != observed.state.newest.number
    ):
        return "Rollback", max(now - observed.state.held.at, _NOTHING)
    published = observed.target.published if observed.target else None
    return ("RollOut", max(now - published, _NOTHING)) if published else None
