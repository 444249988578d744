"""Restarts that the API server rejects: when one is retried, and when it counts as failed.

It is retried after 2 s, doubling to 5 min, and has failed after the progress deadline. Its history is in memory. A
rejection that an earlier process wrote into the status is shown until the next attempt, but causes no rollback,
because other users can edit the status.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.backoff import backoff
from keyturn.core.legacy_status import told_reason
from keyturn.core.observation.observed import Denial
from keyturn.core.reasons import WorkloadReason

from .fallback import fallback_of

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.errors import Stalled, Wait
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = ["Told", "denial_of", "denied_again", "denied_until", "told_before"]

_MIN_DELAY = timedelta(seconds=2)
"""An API server that has just started rejects every request for a few seconds, until it has read the roles."""
_MAX_DELAY = timedelta(minutes=5)
_DENIED = frozenset({WorkloadReason.FORBIDDEN, WorkloadReason.REFUSED, WorkloadReason.NOT_FOUND})
"""Reasons of a rejected restart."""


@dataclass(frozen=True, slots=True)
class Told:
    """Rejected restart in the status of an earlier process."""

    state: WorkloadState
    reason: str
    message: str | None


def denied_again(
    before: Denial | None, error: Wait | Stalled, workload: Workload, observed: Observed, desired: Desired
) -> Denial:
    """Return the denial after another rejection; each one in a row doubles the delay."""
    number = observed.current.number if observed.current else 0
    known = before if before and before.number == number else None
    since = known.since if known else _rejected_since(workload, observed, desired)
    times = known.times + 1 if known else 1
    pause = backoff(_MIN_DELAY, times, _MAX_DELAY)
    return Denial(number, since, observed.now + pause, times, error.reason, error.message)


def _rejected_since(workload: Workload, observed: Observed, desired: Desired) -> datetime:
    """Return since when its restart is rejected: now, or the publication if the status has it as failed."""
    rejection = told_before(workload, observed, desired)
    published = observed.target_published
    if published is None or rejection is None or rejection.state is not WorkloadState.FAILED:
        return observed.now
    return published if published + desired.progress_deadline <= observed.now else observed.now


def denial_of(workload: Workload, observed: Observed) -> Denial | None:
    """Return the rejection of its restart for the current revision, if there is one."""
    denial = observed.denials.get(workload.key)
    return denial if denial and observed.current and denial.number == observed.current.number else None


def denied_until(workload: Workload, observed: Observed, desired: Desired) -> datetime | None:
    """Return when its progress changes next: the retry, or the progress deadline."""
    denial = denial_of(workload, observed)
    if denial is None:
        return None
    times = (denial.again, denial.since + desired.progress_deadline)
    return min((when for when in times if when > observed.now), default=None)


def told_before(workload: Workload, observed: Observed, desired: Desired) -> Told | None:
    """Return the rejection that the status has for its restart, to be shown until the next attempt.

    A failure counts only if it causes no rollback.
    """
    status = observed.managed.status
    if observed.current is None or status.revision != observed.current.number:
        return None
    workload_status = observed.reported(workload)
    reason = told_reason(workload_status) if workload_status else None
    if workload_status is None or reason not in _DENIED:
        return None
    has_failed = workload_status.state is WorkloadState.FAILED and fallback_of(observed, desired) is None
    return Told(
        WorkloadState.FAILED if has_failed else WorkloadState.PENDING, str(reason), workload_status.message
    )
