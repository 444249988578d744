"""Which pods are read: those on which a decision or a report depends now, or at intervals during a rollout."""

from __future__ import annotations

import enum

from keyturn.api.status import WorkloadState
from keyturn.core.observation.observed import Observed
from keyturn.core.spec.desired import Desired

from .completion import is_known_complete
from .leases import idle_leases
from .rollout import Turn, WorkloadProgress, is_under_way


class Need(enum.Enum):
    """Required age of the last read of a workload's pods."""

    NOW = enum.auto()
    """This reconcile: a decision or message depends on them."""
    SOON = enum.auto()
    """At intervals, and immediately the first time: it has failed, and the pods have the cause."""
    LATER = enum.auto()
    """At intervals, once its rollout takes longer than most."""


def need_of(progress: WorkloadProgress, observed: Observed, desired: Desired) -> Need | None:
    """Return how recent the read must be; None if pods add nothing."""
    if waits_for_old_pods(progress, observed, desired) or may_be_blocked(progress):
        return Need.NOW
    workload = progress.consumer.workload
    if progress.turn is not Turn.HINDERED or workload.settled or workload.paused:
        return None
    return Need.SOON if progress.state is WorkloadState.FAILED else Need.LATER


def waits_for_old_pods(progress: WorkloadProgress, observed: Observed, desired: Desired) -> bool:
    """Whether its pods decide if it is current; never again once that was recorded for the revision."""
    consumer, workload = progress.consumer, progress.consumer.workload
    if progress.state is not WorkloadState.CURRENT or is_known_complete(observed):
        return False
    if workload.settled and workload.terminates is False:
        return False  # its controller's own count is sufficient
    if consumer.renewed or observed.rollback_pause:
        return True
    return observed.has_current_marker(workload, desired.secret)


def may_be_blocked(progress: WorkloadProgress) -> bool:
    """Whether its pods decide if it has failed, because old ones may occupy the places of new ones."""
    consumer, workload = progress.consumer, progress.consumer.workload
    if not workload.in_place or workload.terminates is False or progress.denied:
        return False
    is_blocked = progress.state is WorkloadState.ROLLING and consumer.blocked_since is not None
    return progress.state is WorkloadState.FAILED or is_blocked


def needs_holders(observed: Observed) -> bool:
    """Whether something is asserted now that depends on every pod of the namespace.

    Nothing is while a workload is behind: its rollout is waited for first, except in an emergency.
    """
    was_known_complete = is_known_complete(observed)
    is_settled = was_known_complete and not idle_leases(observed)
    if not observed.is_published or is_settled:
        return False
    if is_under_way(observed):
        in_emergency = any(emergency.is_unfinished_here for emergency in observed.emergencies)
        return in_emergency and not was_known_complete
    return True
