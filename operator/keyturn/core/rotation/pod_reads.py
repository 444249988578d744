"""Which workloads need a read of their pods, and how recent it must be, to determine their progress."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.observation.workload import read_marker
from keyturn.core.times import to_second

from .reasons import CREATED
from .rollout import Turn

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired

    from .rollout import WorkloadProgress

__all__ = ["ROLLED_BACK", "Need", "may_be_held_up", "need_of", "waits_for_old_pods"]

ROLLED_BACK = "RolledBack"
"""Reason of the history entry of a rollback."""


class Need(enum.Enum):
    """Required age of the last read of a workload's pods."""

    NOW = enum.auto()
    """This reconcile: a decision or message depends on them."""
    SOON = enum.auto()
    """At intervals, and immediately the first time: it has failed, and the pods have the cause."""
    LATER = enum.auto()
    """At intervals, once its rollout takes longer than most."""


def need_of(standing: WorkloadProgress, observed: Observed, desired: Desired) -> Need | None:
    """Return how recent the read must be; None if pods add nothing."""
    if waits_for_old_pods(standing, observed, desired) or may_be_held_up(standing):
        return Need.NOW
    workload = standing.consumer.workload
    if standing.turn is not Turn.HINDERED or workload.settled or workload.paused:
        return None
    return Need.SOON if standing.state is WorkloadState.FAILED else Need.LATER


def waits_for_old_pods(standing: WorkloadProgress, observed: Observed, desired: Desired) -> bool:
    """Whether its pods decide if it is current; never again once that was recorded for the revision."""
    consumer, workload = standing.consumer, standing.consumer.workload
    if standing.state is not WorkloadState.CURRENT or _is_asserted(observed):
        return False
    if workload.settled and workload.terminates is False:
        return False  # its controller's own count is sufficient
    if consumer.renewed or observed.held:
        return True
    return (
        observed.current is not None
        and read_marker(workload.marker).get(desired.secret) == observed.current.number
    )


def may_be_held_up(standing: WorkloadProgress) -> bool:
    """Whether its pods decide if it has failed, because old ones may occupy the places of new ones."""
    consumer, workload = standing.consumer, standing.consumer.workload
    if not workload.in_place or workload.terminates is False or standing.denied:
        return False
    is_held_up = standing.state is WorkloadState.ROLLING and consumer.held_up is not None
    return standing.state is WorkloadState.FAILED or is_held_up


def _is_asserted(observed: Observed) -> bool:
    """Whether the status already has every workload on the current revision, and that has no consequences.

    Other users can edit the status, so an overlap never begins because of it.
    """
    current, history = observed.current, observed.managed.status.history
    if current is None or observed.state is None:
        return True
    if all(revision.reason == CREATED for revision in observed.state.revisions):
        return True  # there is no earlier revision
    if current.overlaps and current.valid_until is None:
        return False
    if observed.held is None:
        return any(entry.revision == current.number for entry in history)
    back = (current.number, ROLLED_BACK, to_second(observed.held.at))
    return any((entry.revision, entry.reason, entry.started_at) == back for entry in history)
