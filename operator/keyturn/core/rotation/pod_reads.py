"""Of which workloads the pods have to be read, and how lately, before it can be said how far they are."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.observation.workload import read_marker

from .reasons import CREATED
from .rollout import Turn

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired

    from .rollout import WorkloadProgress

__all__ = ["ROLLED_BACK", "Need", "may_be_held_up", "need_of", "waits_for_old_pods"]

ROLLED_BACK = "RolledBack"
"""The reason of a revision's entry in the history when it came back."""


class Need(enum.Enum):
    """How lately the pods of a workload must have been read."""

    NOW = enum.auto()
    """In this look: something is about to be said or done that depends on them."""
    SOON = enum.auto()
    """Now and then, and at once the first time: it has failed, and they say why."""
    LATER = enum.auto()
    """Now and then, once its rollout takes longer than most do."""


def need_of(standing: WorkloadProgress, observed: Observed, desired: Desired) -> Need | None:
    """Say how lately its pods must have been read; None where they tell no more of it."""
    if waits_for_old_pods(standing, observed, desired) or may_be_held_up(standing):
        return Need.NOW
    workload = standing.consumer.workload
    if standing.turn is not Turn.HINDERED or workload.settled or workload.paused:
        return None
    return Need.SOON if standing.state is WorkloadState.FAILED else Need.LATER


def waits_for_old_pods(standing: WorkloadProgress, observed: Observed, desired: Desired) -> bool:
    """Say whether its pods decide if it counts as current: until that was told of the revision, never at rest."""
    consumer, workload = standing.consumer, standing.consumer.workload
    if standing.state is not WorkloadState.CURRENT or _is_asserted(observed):
        return False
    if workload.settled and workload.terminates is False:
        return False  # its controller counts them itself
    if consumer.renewed or observed.held:
        return True
    return (
        observed.current is not None
        and read_marker(workload.marker).get(desired.secret) == observed.current.number
    )


def may_be_held_up(standing: WorkloadProgress) -> bool:
    """Say whether its pods decide if it has failed: old ones may hold the places of new ones."""
    consumer, workload = standing.consumer, standing.consumer.workload
    if not workload.in_place or workload.terminates is False or standing.denied:
        return False
    is_held_up = standing.state is WorkloadState.ROLLING and consumer.held_up is not None
    return standing.state is WorkloadState.FAILED or is_held_up


def _is_asserted(observed: Observed) -> bool:
    """Say whether it was told before that every workload runs the current revision, and nothing new follows from it.

    The status can be written by others: an overlap does not begin because of what stands there.
    """
    current, history = observed.current, observed.managed.status.history
    if current is None or observed.state is None:
        return True
    if all(one.reason == CREATED for one in observed.state.revisions):
        return True  # there is nothing earlier
    if current.overlaps and current.valid_until is None:
        return False
    if observed.held is None:
        return any(entry.revision == current.number for entry in history)
    back = (current.number, ROLLED_BACK, observed.held.at.replace(microsecond=0))
    return any((entry.revision, entry.reason, entry.started_at) == back for entry in history)
