"""Locks of restarts: two Secrets restart a workload one after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from keyturn.core.keys import WorkloadKey

__all__ = ["RestartLocks"]


class RestartLocks:
    """One lock for writes of each workload's restart marker; a lock that no task uses is dropped."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[WorkloadKey, asyncio.Lock] = WeakValueDictionary()

    def of(self, workload: WorkloadKey) -> asyncio.Lock:
        lock = self._locks.get(workload)
        if lock is None:
            lock = self._locks[workload] = asyncio.Lock()
        return lock
