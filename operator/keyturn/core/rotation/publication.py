"""When revisions were published and complete, as records have it, and to which one a failed rollout returns.

A rollout that was complete before causes no rollback when it fails later.
"""

from datetime import datetime
from itertools import takewhile

from keyturn.api.rotation import OnFailure
from keyturn.api.workloads import WorkloadState
from keyturn.core.observation.observed import Consumer, Managed, Observed
from keyturn.core.observation.workload import Workload
from keyturn.core.reasons import RevisionReason, WorkloadReason
from keyturn.core.spec.desired import Desired
from keyturn.core.state.records import RevisionFacts, last_good
from keyturn.core.state.state import StateFacts

from . import steps
from .emergency import is_exposed
from .steps import rotation_id

_PROMOTES = frozenset({RevisionReason.TRIGGERED, RevisionReason.ROTATION_DUE})
"""Reasons of revisions whose primary key the ring before has announced."""


def published_at(one: RevisionFacts, observed: Managed) -> datetime | None:
    """Return when a revision was first published, if known."""
    times = [known.time for known in observed.state.publications if known.number == one.number]
    if observed.is_published and observed.current.number == one.number and observed.target_published:
        times.append(observed.target_published)
    return min(times, default=None)


def was_published(one: RevisionFacts, observed: Managed) -> bool:
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


def is_current_published(observed: Managed) -> bool:
    """Whether the Secret, the status, the overlap or a marker shows that the current revision was published."""
    if publication_of(observed) is not None or observed.current.began_overlap:
        return True
    return any(observed.has_current_marker(one.workload) for one in observed.consumers)


def was_in_deleted_secret(observed: Managed) -> bool:
    """Whether the status has the current revision in a Secret of the wanted name, and there is no Secret."""
    status, wanted = observed.managed.status, (observed.current.number, observed.desired.secret)
    return observed.target is None and (status.revision, status.secret_name) == wanted


def publication_time(step: steps.TargetWrite, observed: Managed, now: datetime) -> datetime:
    """Return the publication time that a write of the target Secret sets.

    Only a new revision has a new one: a repair publishes nothing new, nor does a Secret that has a new name or that
    another client has created again, and running pods have that revision. Pods since a rollback may have what was
    rolled back, however old the restored revision is.
    """
    is_blank = observed.target is None or observed.target.revision is None
    is_written_again = is_blank and observed.managed.status.revision == observed.current.number
    if isinstance(step, steps.Publish) and not is_written_again:
        return now
    return observed.target_published or observed.state.released


# Revisions that a rollback may publish


def may_return_to(number: int, state: StateFacts, desired: Desired) -> bool:
    """Whether a rollback may publish a revision: its values are recorded, and its credentials are valid.

    The store has not revoked its leases, and the database server accepts its credential.
    """
    if number not in state.restorable or not leases_last(number, state) or lost_keys(number, state, desired):
        return False
    if desired.account is None:
        return True
    credential = state.credential_of(number)
    return credential is not None and credential.is_proven


def lost_keys(number: int, state: StateFacts, desired: Desired) -> frozenset[str]:
    """Return the key rings that would lose a key in use.

    A ring has the key that the rotation after it promotes, and none that a second one, an emergency or a change of
    the spec brings.
    """
    rings = frozenset(item.name for item in desired.items if item.is_ring)
    if not rings:
        return rings
    kept = {one.number for one in state.lineage(number)}
    later = tuple(takewhile(lambda one: one.number not in kept, state.lineage(state.current_number)))
    promoted = [name for one in later if one.reason in _PROMOTES for name in one.fresh & rings]
    others = (one.fresh for one in later if one.reason not in _PROMOTES)
    return rings & frozenset(name for name in rings if promoted.count(name) > 1).union(*others)


def leases_last(number: int, state: StateFacts) -> bool:
    """Whether the leases of a revision's dynamic credentials are not revoked."""
    return state.leases_by_revision.get(number, frozenset()) <= {lease.id for lease in state.leases}


def fallback_of(observed: Managed) -> int | None:
    """Return the revision for an automatic rollback when a workload fails; None without one.

    A revision that a rollback restored is left on request only, also after the pause of that rollback has ended.
    """
    state = observed.state
    good = last_good(observed.current, state.revisions)
    if good is None or not may_return_to(good, state, observed.desired):
        return None
    if is_exposed(good, observed):
        return None
    returns = observed.desired.on_failure is OnFailure.ROLLBACK and state.rollback_pause is None
    return good if returns else None


_STEPS_BACK = frozenset({"Rollback", "WaitForPods", "Settle"})
"""Steps of a rotation that prove a status since its rollback: before that it had others."""


def was_complete(workload: Workload, observed: Managed) -> bool:
    """Whether its restart was complete before; a later rollout, such as of another image, is not the operator's.

    Without this check, a workload that breaks long after a rotation would cause a rollback.
    """
    number = observed.current.number
    if observed.is_recorded_complete:
        return True
    if not is_since_rollback(observed):
        return False
    status = observed.reported(workload)
    return status is not None and (status.state, status.revision) == (WorkloadState.CURRENT, number)


def is_since_rollback(observed: Managed) -> bool:
    """Whether the status is from after the last rollback, if any; else workloads may have been restarted since."""
    state, rotation = observed.state, observed.managed.status.rotation
    if state.rollback_pause is None:
        return True
    last = rotation_id(observed.uid, state.newest.number)
    if rotation is not None and rotation.id == last and rotation.step in _STEPS_BACK:
        return True
    return observed.is_recorded_complete


def was_overdue_at_first(observed: Observed, deadline: datetime | None) -> bool:
    """Whether a rollout was overdue before the first status: the object was created again, or its status was lost.

    Its result is unknown, and it was reported then.
    """
    return observed.managed.status.revision is None and deadline is not None and observed.now >= deadline


def reports_completion(consumer: Consumer, observed: Managed) -> bool:
    """Whether its controller reports its rollout of the current revision as complete; earlier pods may still run."""
    return consumer.workload.settled and observed.has_current_marker(consumer.workload)


def was_reported_complete(consumer: Consumer, observed: Managed, deadline: datetime | None) -> bool:
    """Whether its controller has reported its rollout as complete, so that it waits only for the end of earlier pods.

    For a new process the status has it. That counts only after the deadline, because pods that crash are ready for a
    moment, and not on the way back from a revision or if earlier pods may occupy the places of new ones. Other users
    can edit the status; the only consequence is that no rollback follows.
    """
    if consumer.completed:
        return True
    status, pause = observed.reported(consumer.workload), observed.state.rollback_pause
    if status is None or deadline is None or observed.now < deadline or pause:
        return False
    reasons = {WorkloadReason.PODS_UNKNOWN}
    if not consumer.workload.in_place:
        reasons.add(WorkloadReason.EARLIER_PODS)
    is_its = (status.state, status.revision) == (WorkloadState.ROLLING, observed.current.number)
    return is_its and status.reason in reasons
