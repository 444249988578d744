"""Whose restart the API server refuses: when it is tried again, and when it counts as failed.

A process remembers it and writes it nowhere. What an earlier one has told in the status is believed for as long as
nothing follows from it but that it goes on being told; anybody could have written it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.rollout import OnFailure
from keyturn.api.status import WorkloadReason, WorkloadState
from keyturn.core.legacy_status import legacy_reason
from keyturn.core.observation.observed import Denial

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.api.status import WorkloadStatus
    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = ["Told", "denial_of", "denied_again", "denied_until", "fallback_of", "told_before", "told_reason"]

_FIRST = timedelta(seconds=15)
_LONGEST = timedelta(minutes=5)
_DENIED = frozenset({WorkloadReason.FORBIDDEN, WorkloadReason.REFUSED, WorkloadReason.NOT_FOUND})
"""The reasons of every refusal."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an earlier process has written of a restart that the API server refuses."""

    state: WorkloadState
    reason: str
    message: str | None


def denied_again(
    before: Denial | None, error: Wait | Stalled, workload: Workload, observed: Observed, desired: Desired
) -> Denial:
    """Remember that a restart was refused just now; each time in a row the next try is later."""
    number = observed.current.number if observed.current else 0
    known = before if before and before.number == number else None
    since = known.since if known else _began(workload, observed, desired)
    times = known.times + 1 if known else 1
    pause = min(_FIRST * 2 ** min(times - 1, 10), _LONGEST)
    return Denial(number, since, observed.now + pause, times, error.reason, error.message)


def denial_of(workload: Workload, observed: Observed) -> Denial | None:
    """Return what the API server has said to its restart for the current revision."""
    found = observed.denials.get(workload.key)
    return found if found and observed.current and found.number == observed.current.number else None


def denied_until(workload: Workload, observed: Observed, desired: Desired) -> datetime | None:
    """Return when its standing changes by itself."""
    denial = denial_of(workload, observed)
    if denial is None:
        return None
    times = (denial.again, denial.since + desired.progress_deadline)
    return min((when for when in times if when > observed.now), default=None)


def told_before(workload: Workload, observed: Observed, desired: Desired) -> Told | None:
    """Return what an earlier process said of its restart, so that nothing else is said before the next try.

    A failure is taken over only where no return to an earlier revision follows from it.
    """
    status = observed.managed.status
    if observed.current is None or status.revision != observed.current.number:
        return None
    one = status.by_workload.get((workload.kind, workload.key.name))
    reason = told_reason(one) if one else None
    if one is None or reason not in _DENIED:
        return None
    has_failed = one.state is WorkloadState.FAILED and fallback_of(observed, desired) is None
    return Told(WorkloadState.FAILED if has_failed else WorkloadState.PENDING, str(reason), one.message)


def told_reason(told: WorkloadStatus) -> str | None:
    """Return why a workload is not current, as its status tells, be it of the version before."""
    return told.reason or legacy_reason(told)


def fallback_of(observed: Observed, desired: Desired) -> int | None:
    """Return the revision that comes back by itself when a workload fails."""
    good, kept = (
        observed.current.fallback if observed.current else None,
        observed.state.restorable if observed.state else (),
    )
    returns = desired.on_failure is OnFailure.ROLLBACK and not observed.held
    return good if returns and good in kept else None


def _began(workload: Workload, observed: Observed, desired: Desired) -> datetime:
    """Say since when it is refused: since now, unless it was told as failed and could have failed by now."""
    told = told_before(workload, observed, desired)
    published = observed.target.published if observed.target else None
    if published is None or told is None or told.state is not WorkloadState.FAILED:
        return observed.now
    return published if published + desired.progress_deadline <= observed.now else observed.now
