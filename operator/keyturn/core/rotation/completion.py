"""When a rollout is complete: every workload is done, and no pod that Keyturn does not restart has earlier values.

A workload whose restart a setting forbids is not waited for, except while it may log in with a previous password.
"""

from __future__ import annotations

from datetime import datetime

from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.state.revision import RevisionFacts
from keyturn.core.texts import first_of

from .fallback import is_recorded_complete
from .old_pods import holds_back
from .publication import published_at
from .rollout import Turn, WorkloadProgress, is_under_way, progress_of_workloads

_MAX_NAMED = 3


def is_rollout_complete(observed: Observed, desired: Desired) -> bool:
    waits = observed.unread or is_under_way(observed) or holds_back(observed, desired)
    return not waits and not users_of_previous_login(observed, desired)


def users_of_previous_login(observed: Observed, desired: Desired) -> tuple[WorkloadProgress, ...]:
    """Return the workloads that a setting keeps on earlier values, while the server accepts the login of these.

    None in an overlap that has begun; a login that a rollback gave up has no overlap.
    """
    state = observed.state
    if desired.database is None or not desired.database.alternates or state is None:
        return ()
    current = state.current_credential
    is_open = current is not None and any(one.revision < current.revision for one in state.open_credentials)
    is_awaited = is_open and not state.overlap_start.began_overlap
    if not is_awaited and not state.gives_up_credential:
        return ()
    return _refused(observed)


def refused_message(observed: Observed) -> str | None:
    """Return a message with the workloads that a setting keeps on earlier values; None if there are none."""
    refused = _refused(observed)
    if not refused:
        return None
    names = first_of([str(progress.consumer.workload.key) for progress in refused], _MAX_NAMED)
    count = "1 workload is" if len(refused) == 1 else f"{len(refused)} workloads are"
    return f"{count} not restarted by Keyturn: {names}"


def _refused(observed: Observed) -> tuple[WorkloadProgress, ...]:
    refused = (progress for progress in progress_of_workloads(observed) if progress.turn is Turn.REFUSED)
    return tuple(progress for progress in refused if progress.consumer.use is not None)


def is_known_complete(observed: Observed) -> bool:
    """Whether the status has the rollout as complete, and no decision depends on that any more.

    Other users can edit the status, so an overlap never begins because of it.
    """
    current = observed.current
    if current is None or observed.state is None:
        return True
    if all(revision.reason == RevisionReason.CREATED for revision in observed.state.revisions):
        return True  # there is no earlier revision
    if observed.overlaps and current.valid_until is None:
        return False
    if observed.desired and observed.desired.database and observed.state.gives_up_credential:
        return False
    return is_recorded_complete(observed, current.number)


def overlap_limit(observed: Observed, desired: Desired) -> datetime | None:
    """Return when the previous values end although pods may still hold them, by rotation.maxOverlap; None without.

    Revisions since then that keep the previous values do not prolong it.
    """
    state, limit = observed.state, publication_limit(observed, desired)
    if state is None or limit is None or desired.max_overlap is None or state.current.overlap_from is None:
        return limit
    start = state.overlap_start.number
    of_overlap = (one for one in state.revisions if start in {one.number, one.overlap_from})
    times = (published_at(one, observed) for one in of_overlap)
    first = min((time for time in times if time), default=None)
    return first + desired.max_overlap if first else limit


def publication_limit(observed: Observed, desired: Desired) -> datetime | None:
    """Return when rotation.maxOverlap since the publication of the current revision is over; None without."""
    published = observed.target_published if observed.is_published else None
    if desired.max_overlap is None or published is None:
        return None
    return published + desired.max_overlap


def is_to_be_settled(observed: Observed) -> bool:
    """Whether the overlap is over while the Secret still has the previous values."""
    current, target = observed.current, observed.target
    return bool(
        observed.is_published and target and target.overlapping and current and not current.keeps_previous
    )


def ended_at(current: RevisionFacts, observed: Observed) -> datetime:
    """Return since when the previous values should be gone.

    In an emergency, since their successors were published.
    """
    until, published = current.valid_until, observed.target_published
    return until if until and until <= observed.now else published or current.made


def kept_since(observed: Observed) -> datetime | None:
    """Return since when the previous values should be gone from the Secret; None while they may be in it."""
    current = observed.current
    if current is None:
        return None
    if is_to_be_settled(observed):
        return ended_at(current, observed)
    return current.valid_until if observed.overlaps else None
