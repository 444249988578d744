"""Pods with earlier values that no consumer controls: who owns them, how long they are waited for, which are evicted.

They are judged by their age alone, because a marker on a pod that Keyturn does not restart proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.core.observation.pods import by_owner, ways_of
from keyturn.core.texts import and_more
from keyturn.core.times import to_second

from . import steps
from .old_pods import has_earlier_values, revision_at, unread

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.api.status import Via
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.pods import Pod
    from keyturn.core.spec.desired import Desired

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
        if self.kind in {"Pod", "Job"}:
            return f"{runs}; delete it or wait for its end"
        pods = "1 pod" if self.pods == 1 else f"{self.pods} pods"
        return f"{runs} ({pods}); restart it yourself or wait for its end"


def pods_behind(observed: Observed, desired: Desired) -> tuple[Pod, ...]:
    """Return the pods with earlier values that no consumer controls, sorted by name."""
    pods = observed.holders.pods if observed.holders else ()
    older = (pod for pod in pods if has_earlier_values(pod.began, pod.use_of(desired.secret), observed))
    return tuple(sorted(older, key=lambda pod: pod.name))


def owners_behind(observed: Observed, desired: Desired) -> tuple[OwnerBehind, ...]:
    """Return the topmost owners of the pods with earlier values, sorted by kind and name."""
    groups = by_owner(pods_behind(observed, desired))
    return tuple(_owner(*owner, pods, observed, desired) for owner, pods in groups)


def _owner(kind: str, name: str, pods: list[Pod], observed: Observed, desired: Desired) -> OwnerBehind:
    since = min(pod.began for pod in pods)
    return OwnerBehind(
        kind=kind,
        name=name,
        via=ways_of(pods, desired.secret),
        pods=len(pods),
        ending=sum(pod.leaves is not None for pod in pods),
        since=since,
        revision=revision_at(since, observed),
    )


def evicts(observed: Observed) -> bool:
    """Whether an emergency in progress has pods with exposed values evicted."""
    return any(emergency.is_unfinished_here and emergency.evict for emergency in observed.emergencies)


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
    """Whether the list on which an assertion depends is forbidden, or failed."""
    return observed.holders is not None and observed.holders.forbidden


def holds_back(observed: Observed, desired: Desired) -> bool:
    """Whether pods that no consumer controls keep a rollout from being complete, or may do so."""
    return are_unread(observed) or bool(pods_behind(observed, desired))


def waiting_message(observed: Observed, desired: Desired) -> str | None:
    """Return a message with the first owner that is waited for; None if there is none."""
    if are_unread(observed):
        return unread(observed)
    owners = owners_behind(observed, desired)
    if not owners:
        return None
    return f"{owners[0]} {owners[0].message}{and_more(len(owners) - 1)}"


def next_read(observed: Observed) -> datetime:
    """Return when the pods are read again: no event tells of their end."""
    if are_unread(observed):
        return observed.now + _UNREAD_INTERVAL
    pause = (observed.now - observed.published) / _INTERVAL_DIVISOR
    return observed.now + min(max(pause, _MIN_INTERVAL), _MAX_INTERVAL)
