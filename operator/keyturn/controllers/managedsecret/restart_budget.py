"""Limits of restarts: the restart budget of the cluster, and one restart of each workload at a time.

The budget limits how many workloads roll at a time, and how many restarts begin per minute. Namespaces take turns, so
that one with many workloads does not delay another's first restart. Emergencies and rollbacks do not wait, but their
restarts count.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.observation.observed import RestartWait

_MINUTE = timedelta(minutes=1)
_UNKNOWN_DEADLINE = timedelta(minutes=10)
"""How long a rollout that an earlier process began counts at most."""
_LONGEST = timedelta(hours=1)
"""Longest time for which a rollout counts. Without it, rollouts that hang would block all restarts of the cluster."""
_EARLIER = ObjectKey("", "")
"""Stands for the ManagedSecret whose restart an earlier process began."""


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """Limits of restarts in the whole cluster; None is no limit."""

    rolling: int | None = None
    """Workloads that roll at a time."""
    per_minute: int | None = None
    """Restarts that begin in a minute."""


NO_LIMITS = RestartLimits()


@dataclass(frozen=True, slots=True)
class RestartPlace:
    """What a restart counts as in the budget."""

    key: ObjectKey
    workload: WorkloadKey
    before: datetime | None
    """Until when an earlier restart of the workload by the same ManagedSecret counted; None without one."""
    began: datetime


class RestartBudget:
    """Restarts that count against the limits, and the ManagedSecrets that wait for one, by namespace."""

    def __init__(
        self, limits: RestartLimits, now: Callable[[], datetime], wake: Callable[[ObjectKey], None]
    ) -> None:
        """`wake` adds a ManagedSecret to the work queue."""
        self._limits, self._now, self._wake = limits, now, wake
        self._rolling: dict[WorkloadKey, dict[ObjectKey, datetime]] = {}
        """Workloads that roll: by the ManagedSecret that restarted it, when that counts no more, however it ends."""
        self._begun: deque[datetime] = deque()
        """Restarts of the last minute, the oldest first."""
        self._waiting: OrderedDict[str, dict[ObjectKey, None]] = OrderedDict()
        """The namespace whose turn it is comes first."""

    def count_rolling(self, workloads: Iterable[WorkloadKey]) -> None:
        """Count rollouts that an earlier process began."""
        until = self._now() + _UNKNOWN_DEADLINE
        for workload in workloads:
            self._rolling.setdefault(workload, {})[_EARLIER] = until

    def take(
        self, key: ObjectKey, workload: WorkloadKey, until: datetime, *, waits: bool = True
    ) -> RestartPlace | None:
        """Count a restart, at most until `until` and for an hour; None if it must wait for its turn."""
        if waits and workload not in self._rolling and self.restart_wait(key, asks=True):
            self._waiting.setdefault(key.namespace, {})[key] = None
            return None
        now = self._now()
        self._remove(key)
        if key.namespace in self._waiting:
            self._waiting.move_to_end(key.namespace)
        before = self._rolling.get(workload, {}).get(key)
        if self._limits.rolling is not None:
            self._rolling.setdefault(workload, {})[key] = min(until, now + _LONGEST)
        if self._limits.per_minute is not None:
            self._begun.append(now)
        self._wake_next()
        return RestartPlace(key, workload, before, now)

    def give_back(self, place: RestartPlace) -> None:
        """Count a restart no more that has not begun, because the API server rejected it."""
        with contextlib.suppress(ValueError):  # it counted by the minute for a minute, or not at all
            self._begun.remove(place.began)
        counted = self._rolling.get(place.workload, {})
        if place.before is not None and place.key in counted:
            counted[place.key] = place.before
        elif counted.pop(place.key, None) and not counted:
            del self._rolling[place.workload]
        self._wake_next()

    def restart_wait(self, key: ObjectKey, *, asks: bool = False) -> RestartWait | None:
        """Return why its restarts must wait; None if it may restart now, or if it neither waits nor `asks`."""
        is_waiting = key in self._waiting.get(key.namespace, ())
        if not (is_waiting or asks):
            return None
        if exhausted := self._exhausted():
            return exhausted
        first = self._next()
        if first is None or first == key:
            return None
        return RestartWait(self._now() + _MINUTE, self._limit_text())

    def settle(self, workload: WorkloadKey) -> None:
        """Count a rollout no more: it is complete, or the workload is gone."""
        if self._rolling.pop(workload, None):
            self._wake_next()

    def leave(self, key: ObjectKey) -> None:
        """Note that a ManagedSecret does not wait any more."""
        if self._remove(key):
            self._wake_next()

    forget = leave

    def _exhausted(self) -> RestartWait | None:
        now, limits = self._now(), self._limits
        while self._begun and self._begun[0] <= now - _MINUTE:
            self._begun.popleft()
        for workload in [one for one, counted in self._rolling.items() if max(counted.values()) <= now]:
            del self._rolling[workload]
        if limits.rolling is not None and len(self._rolling) >= limits.rolling:
            again = min(max(counted.values()) for counted in self._rolling.values())
            return RestartWait(again, self._limit_text())
        if limits.per_minute is not None and len(self._begun) >= limits.per_minute:
            return RestartWait(self._begun[0] + _MINUTE, self._limit_text())
        return None

    def _limit_text(self) -> str:
        options = {"--max-rolling": self._limits.rolling, "--restarts-per-minute": self._limits.per_minute}
        return ", ".join(f"{name} {limit}" for name, limit in options.items() if limit is not None)

    def _next(self) -> ObjectKey | None:
        """Return the ManagedSecret whose turn it is."""
        return next((key for keys in self._waiting.values() for key in keys), None)

    def _wake_next(self) -> None:
        key = self._next()
        if key is not None and self._exhausted() is None:
            self._wake(key)

    def _remove(self, key: ObjectKey) -> bool:
        waiting = self._waiting.get(key.namespace, {})
        if key not in waiting:
            return False
        del waiting[key]
        if not waiting:
            del self._waiting[key.namespace]
        return True


class RestartLocks:
    """One lock for writes of each workload's restart marker, so that two Secrets restart it one after the other.

    A lock that no task uses is dropped.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[WorkloadKey, asyncio.Lock] = WeakValueDictionary()

    def of(self, workload: WorkloadKey) -> asyncio.Lock:
        lock = self._locks.get(workload)
        if lock is None:
            lock = self._locks[workload] = asyncio.Lock()
        return lock
