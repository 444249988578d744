"""Duration of the steps of a rotation, from begin to completion.

It is computed from recorded times, so it includes steps that another process began; most of a rollout, and all of an
overlap, is waiting.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from . import steps

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed


_ZERO = timedelta(0)
_PRECISION = timedelta(seconds=1)
"""Precision of times in the status, which have whole seconds."""


def duration_of(step: steps.Step, observed: Observed, wrote: timedelta, now: datetime) -> timedelta | None:
    """Return the duration of a step that completes now; `wrote` is the duration of its write.

    None if it is no step of a rotation, or its begin is unknown.
    """
    took = _duration_of(step, observed, wrote, now)
    return None if took is None else max(took, _ZERO)


def _duration_of(step: steps.Step, observed: Observed, wrote: timedelta, now: datetime) -> timedelta | None:
    match step:
        case steps.Stage():
            begun = observed.managed.status.rotation
            return max(wrote, now - begun.started_at - _PRECISION) if begun else wrote
        case steps.Publish(number=number) if number != observed.managed.status.revision and observed.current:
            return now - observed.current.made
        case steps.Expire():
            return _overlapped(observed, now)
        case steps.Settle():
            until = observed.current.valid_until if observed.current else None
            return max(wrote, now - until) if until else wrote
        case _:
            return None


def _overlapped(observed: Observed, now: datetime) -> timedelta | None:
    state, history = observed.state, observed.managed.status.history
    if state is None or state.current.valid_until is None:
        return None
    start = state.overlap_start.number
    through = next((entry.finished_at for entry in history if entry.revision == start), None)
    return min(now, state.current.valid_until) - through if through else None


def rollout_duration(observed: Observed, now: datetime) -> tuple[str, timedelta] | None:
    """Return the step that ends with the last workload, RollOut or Rollback, and its duration; None if unknown."""
    if observed.state and observed.state.rollback_pause:
        return "Rollback", max(now - observed.state.rollback_pause.at, _ZERO)
    published = observed.target_published
    return ("RollOut", max(now - published, _ZERO)) if published else None
