"""When revisions were published and complete, as records have it, and to which one a failed rollout returns.

A rollout that was complete before causes no rollback when it fails later.
"""

from __future__ import annotations

from datetime import datetime

from keyturn.api.rotation import OnFailure
from keyturn.api.status import WorkloadState
from keyturn.core.observation.observed import Consumer, Observed
from keyturn.core.observation.workload import Workload
from keyturn.core.reasons import RevisionReason, RevisionResult, WorkloadReason
from keyturn.core.spec.desired import Desired
from keyturn.core.state.records import RevisionFacts, last_good
from keyturn.core.state.state import StateFacts
from keyturn.core.times import to_second

from . import steps
from .emergency import is_exposed
from .steps import rotation_id


def published_at(one: RevisionFacts, observed: Observed) -> datetime | None:
    """Return when a revision was first published, if known."""
    known = observed.state.publications if observed.state else ()
    times = [publication.time for publication in known if publication.number == one.number]
    if (
        observed.is_published
        and observed.current
        and observed.current.number == one.number
        and observed.target
    ):
        times += [observed.target.published] if observed.target.published else []
    return min(times, default=None)


def was_published(one: RevisionFacts, observed: Observed) -> bool:
    """Whether a time of its publication is known, or the status has it or a later revision."""
    return published_at(one, observed) is not None or (observed.managed.status.revision or 0) >= one.number


def publication_of(observed: Observed) -> datetime | None:
    """Return when the current revision was published; if the Secret has no time, the last known time before that."""
    if observed.state is None:
        return None
    if observed.is_published and observed.target:
        return observed.target.published or observed.state.released
    was_there = (
        observed.managed.status.revision is not None
        if observed.target is None
        else observed.target.revision is None
    )
    return observed.state.released if was_there else None


def is_current_published(observed: Observed, desired: Desired) -> bool:
    """Whether the Secret, the status, the overlap or a marker shows that the current revision was published."""
    if publication_of(observed) is not None or (observed.current and observed.current.began_overlap):
        return True
    return any(observed.has_current_marker(one.workload, desired.secret) for one in observed.consumers)


def was_in_deleted_secret(observed: Observed, desired: Desired) -> bool:
    """Whether the status has the current revision in a Secret of the wanted name, and there is no Secret."""
    status, number = observed.managed.status, observed.current.number if observed.current else None
    return observed.target is None and (status.revision, status.secret_name) == (number, desired.secret)


def publication_time(step: steps.TargetWrite, observed: Observed, now: datetime) -> datetime:
    """Return the publication time that a write of the target Secret sets.

    Only a new revision has a new one: a repair publishes nothing new, nor does a Secret that has a new name or that
    another client has created again, and running pods have that revision. Pods since a rollback may have what was
    rolled back, however old the restored revision is.
    """
    number = observed.current.number if observed.current else None
    is_blank = observed.target is None or observed.target.revision is None
    is_written_again = is_blank and observed.managed.status.revision == number
    if isinstance(step, steps.Publish) and not is_written_again:
        return now
    if observed.target and observed.target.published:
        return observed.target.published
    return observed.state.released if observed.state else observed.now


# Revisions that a rollback may publish


def may_return_to(number: int, state: StateFacts, desired: Desired) -> bool:
    """Whether a rollback may publish a revision: its values are recorded, and its credentials are valid.

    The store has not revoked its leases, and the database server accepts its credential.
    """
    if number not in state.restorable or not leases_last(number, state):
        return False
    if desired.database is None:
        return True
    credential = state.credential_of(number)
    return credential is not None and credential.is_proven


def leases_last(number: int, state: StateFacts) -> bool:
    """Whether the leases of a revision's dynamic credentials are not revoked."""
    return state.leases_by_revision.get(number, frozenset()) <= {lease.id for lease in state.leases}


def fallback_of(observed: Observed, desired: Desired) -> int | None:
    """Return the revision for an automatic rollback when a workload fails; None without one.

    A revision that a rollback restored is left on request only, also after the pause of that rollback has ended.
    """
    state, current = observed.state, observed.current
    good = last_good(current, state.revisions) if state and current else None
    if state is None or good is None or not may_return_to(good, state, desired):
        return None
    if is_exposed(good, observed):
        return None
    returns = desired.on_failure is OnFailure.ROLLBACK and state.rollback_pause is None
    return good if returns else None


_STEPS_BACK = frozenset({"Rollback", "WaitForPods", "Settle"})
"""Steps of a rotation that prove a status since its rollback: before that it had others."""


def was_complete(workload: Workload, observed: Observed, number: int) -> bool:
    """Whether its restart was complete before; a later rollout, such as of another image, is not the operator's.

    Without this check, a workload that breaks long after a rotation would cause a rollback.
    """
    if is_recorded_complete(observed, number):
        return True
    if not is_since_rollback(observed):
        return False
    workload_status = observed.reported(workload)
    return (
        workload_status is not None
        and workload_status.state is WorkloadState.CURRENT
        and workload_status.revision == number
    )


def is_since_rollback(observed: Observed) -> bool:
    """Whether the status is from after the last rollback, if any; else workloads may have been restarted since."""
    state, rotation = observed.state, observed.managed.status.rotation
    if state is None or state.rollback_pause is None:
        return True
    last = rotation_id(observed.uid, state.newest.number)
    if rotation is not None and rotation.id == last and rotation.step in _STEPS_BACK:
        return True
    return is_recorded_complete(observed, state.current_number)


def is_recorded_complete(observed: Observed, number: int) -> bool:
    """Whether the record has the rollout of a revision as complete, since the last rollback if any.

    The history in the status has it, or the state, in which an overlap has begun. A revision whose rollout has failed
    is in the history, too.
    """
    state = observed.state
    pause = state.rollback_pause if state else None
    history = observed.managed.status.history
    if pause is not None:
        back = (number, RevisionReason.ROLLED_BACK, to_second(pause.at))
        return any((entry.revision, entry.reason, entry.started_at) == back for entry in history)
    revision = state.revision(number) if state else None
    if revision is not None and revision.began_overlap:
        return True
    return any((entry.revision, entry.result) == (number, RevisionResult.SUCCEEDED) for entry in history)


def was_overdue_at_first(observed: Observed, deadline: datetime | None) -> bool:
    """Whether a rollout was overdue before the first status: the object was created again, or its status was lost.

    Its result is unknown, and it was reported then.
    """
    return observed.managed.status.revision is None and deadline is not None and observed.now >= deadline


def reports_completion(consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Whether its controller reports its rollout of the current revision as complete; earlier pods may still run."""
    return consumer.workload.settled and observed.has_current_marker(consumer.workload, desired.secret)


def was_reported_complete(
    consumer: Consumer, observed: Observed, number: int, deadline: datetime | None
) -> bool:
    """Whether its controller has reported its rollout as complete, so that it waits only for the end of earlier pods.

    For a new process the status has it. That counts only after the deadline, because pods that crash are ready for a
    moment, and not on the way back from a revision or if earlier pods may occupy the places of new ones. Other users
    can edit the status; the only consequence is that no rollback follows.
    """
    if consumer.completed:
        return True
    status, state = observed.reported(consumer.workload), observed.state
    if status is None or deadline is None or observed.now < deadline or state is None or state.rollback_pause:
        return False
    reasons = {WorkloadReason.PODS_UNKNOWN}
    if not consumer.workload.in_place:
        reasons.add(WorkloadReason.EARLIER_PODS)
    return (status.state, status.revision) == (WorkloadState.ROLLING, number) and status.reason in reasons
