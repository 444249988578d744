"""When a rollout is complete: every workload is done, and no pod that Keyturn does not restart has earlier values.

A consumer's pods are judged by `old_pods`. All others that use the Secret are judged by their age alone, because a
marker on a pod that Keyturn does not restart proves nothing.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.observation.workload import read_marker
from keyturn.core.reasons import RevisionReason
from keyturn.core.times import to_second

from . import steps
from .old_pods import UNREAD, has_earlier_values, revision_at
from .rollout import Turn, standings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from keyturn.api.status import Via
    from keyturn.core.observation.holders import HoldingPod
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.lease import StoreLease

    from .rollout import WorkloadProgress

__all__ = [
    "Need",
    "OwnerBehind",
    "are_unread",
    "evicts",
    "holds_back",
    "idle_leases",
    "is_asserted",
    "is_complete",
    "may_be_held_up",
    "need_of",
    "needs_holders",
    "next_read",
    "overlap_limit",
    "owners_behind",
    "pod_to_evict",
    "pods_behind",
    "summary_of",
    "waits_for_old_pods",
]

_MIN_INTERVAL, _MAX_INTERVAL = timedelta(seconds=2), timedelta(minutes=5)
_UNREAD_INTERVAL = timedelta(minutes=1)
_INTERVAL_DIVISOR = 4
"""Divisor: the interval is this part of the time since the publication."""


@dataclass(frozen=True, slots=True)
class OwnerBehind:
    """The topmost owner of pods that hold an earlier revision."""

    kind: str
    name: str
    via: tuple[Via, ...]
    pods: int
    ending: int
    """How many of the pods are terminating."""
    since: datetime
    """Since when the oldest of its pods runs."""
    revision: int | None
    """The revision that its oldest pod has read, if known."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def message(self) -> str:
        which = "an earlier revision" if self.revision is None else f"revision {self.revision}"
        runs = f"runs since {to_second(self.since):%Y-%m-%d %H:%M} UTC with {which}"
        if self.kind == "Pod":
            return f"{runs}; delete it or wait for its end"
        pods = "1 pod" if self.pods == 1 else f"{self.pods} pods"
        if self.kind == "CronJob":
            return f"{runs} ({pods}); delete its running Jobs or wait for their end"
        return f"{runs} ({pods}); restart it yourself or wait for its end"


def pods_behind(observed: Observed, desired: Desired) -> tuple[HoldingPod, ...]:
    """Return the pods with earlier values that no consumer controls, sorted by name."""
    pods = observed.holders.pods if observed.holders else ()
    older = (pod for pod in pods if has_earlier_values(pod.began, pod.use_of(desired.secret), observed))
    return tuple(sorted(older, key=lambda pod: pod.name))


def owners_behind(observed: Observed, desired: Desired) -> tuple[OwnerBehind, ...]:
    """Return the topmost owners of the pods with earlier values, sorted by kind and name."""
    by_owner: defaultdict[tuple[str, str], list[HoldingPod]] = defaultdict(list)
    for pod in pods_behind(observed, desired):
        by_owner[pod.owner].append(pod)
    return tuple(_owner(*owner, pods, observed, desired) for owner, pods in sorted(by_owner.items()))


def _owner(kind: str, name: str, pods: list[HoldingPod], observed: Observed, desired: Desired) -> OwnerBehind:
    since = min(pod.began for pod in pods)
    return OwnerBehind(
        kind=kind,
        name=name,
        via=tuple(sorted(set(_ways(pods, desired.secret)))),
        pods=len(pods),
        ending=sum(pod.leaves is not None for pod in pods),
        since=since,
        revision=revision_at(since, observed),
    )


def _ways(pods: Iterable[HoldingPod], secret: str) -> Iterator[Via]:
    for pod in pods:
        for use in pod.uses:
            if use.secret == secret:
                yield from use.via


def evicts(observed: Observed) -> bool:
    """Whether an emergency in progress has pods with exposed values evicted."""
    return any(emergency.presses and emergency.evict for emergency in observed.emergencies)


def pod_to_evict(observed: Observed, desired: Desired) -> steps.EvictPod | None:
    """Return the next eviction: of a pod of a Job, or of one without an owner."""
    if observed.holders is None or not evicts(observed):
        return None
    for pod in pods_behind(observed, desired):
        is_evictable = pod.controller is None or pod.controller.kind == "Job"
        if is_evictable and pod.leaves is None and pod.uid not in observed.holders.tried:
            return steps.EvictPod(pod)
    return None


def are_unread(observed: Observed) -> bool:
    """Whether RBAC forbids the list on which an assertion depends."""
    return observed.holders is not None and observed.holders.forbidden


def holds_back(observed: Observed, desired: Desired) -> bool:
    """Whether pods that no consumer controls keep a rollout from being complete, or may do so."""
    return are_unread(observed) or bool(pods_behind(observed, desired))


def summary_of(observed: Observed, desired: Desired) -> str | None:
    """Return a message with the first owner that is waited for; None if there is none."""
    if are_unread(observed):
        return UNREAD
    owners = owners_behind(observed, desired)
    if not owners:
        return None
    more = f" and {len(owners) - 1} more" if len(owners) > 1 else ""
    return f"{owners[0]} {owners[0].message}{more}"


def next_read(observed: Observed) -> datetime:
    """Return when the pods are read again: no event tells of their end."""
    if are_unread(observed):
        return observed.now + _UNREAD_INTERVAL
    pause = (observed.now - observed.published) / _INTERVAL_DIVISOR
    return observed.now + min(max(pause, _MIN_INTERVAL), _MAX_INTERVAL)


def overlap_limit(observed: Observed, desired: Desired) -> datetime | None:
    """Return when the previous values end although pods may still hold them, by rotation.maxOverlap; None without."""
    published = observed.target.published if observed.target and observed.is_published else None
    if desired.max_overlap is None or published is None:
        return None
    return published + desired.max_overlap


# Completion


def needs_holders(observed: Observed, desired: Desired) -> bool:
    """Whether something is asserted now that depends on every pod of the namespace.

    Nothing is while a workload is behind: its rollout is waited for first. An emergency evicts pods before.
    """
    was_asserted = is_asserted(observed)
    if not observed.is_published or (was_asserted and not idle_leases(observed)):
        return False
    if any(progress.under_way for progress in standings(observed, desired)):
        return evicts(observed) and not was_asserted
    return True


def idle_leases(observed: Observed) -> tuple[StoreLease, ...]:
    """Return the leases that neither the current revision nor a pending one holds."""
    if observed.state is None:
        return ()
    held = frozenset(observed.state.borrowed.values()) | observed.state.lent_next | observed.pulled.in_hand
    return tuple(loan for loan in observed.state.loans if loan.id not in held)


def is_complete(observed: Observed, desired: Desired, all_standings: Iterable[WorkloadProgress]) -> bool:
    return not any(progress.under_way for progress in all_standings) and not holds_back(observed, desired)


# Which pods have to be read for that


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
    if standing.state is not WorkloadState.CURRENT or is_asserted(observed):
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


def is_asserted(observed: Observed) -> bool:
    """Whether the status already has every workload on the current revision, and that has no consequences.

    Other users can edit the status, so an overlap never begins because of it.
    """
    current, history = observed.current, observed.managed.status.history
    if current is None or observed.state is None:
        return True
    if all(revision.reason == RevisionReason.CREATED for revision in observed.state.revisions):
        return True  # there is no earlier revision
    if observed.overlaps and current.valid_until is None:
        return False
    if observed.desired and observed.desired.database and observed.state.gives_up_credential:
        return False
    if observed.held is None:
        return any(entry.revision == current.number for entry in history)
    back = (current.number, RevisionReason.ROLLED_BACK, to_second(observed.held.at))
    return any((entry.revision, entry.reason, entry.started_at) == back for entry in history)
