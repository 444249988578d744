"""Workloads in the informer cache, indexed by the Secrets that they use."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from keyturn.core.keys import ObjectKey

if TYPE_CHECKING:
    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.workload import Workload

__all__ = ["WorkloadCache", "secrets_of"]


class WorkloadCache:
    """Workloads by key, and workload keys by Secret."""

    def __init__(self) -> None:
        self._workloads: dict[WorkloadKey, Workload] = {}
        self._users: defaultdict[ObjectKey, set[WorkloadKey]] = defaultdict(set)

    def put(self, workload: Workload) -> Workload | None:
        """Store a workload; return its former state."""
        known = self.drop(workload.key)
        self._workloads[workload.key] = workload
        for secret in secrets_of(workload):
            self._users[secret].add(workload.key)
        return known

    def drop(self, key: WorkloadKey) -> Workload | None:
        """Drop a workload; return its former state."""
        known = self._workloads.pop(key, None)
        for secret in secrets_of(known):
            self._users[secret].discard(key)
            if not self._users[secret]:
                del self._users[secret]
        return known

    def get(self, key: WorkloadKey) -> Workload | None:
        return self._workloads.get(key)

    def keys(self, kind: str) -> list[WorkloadKey]:
        return [key for key in self._workloads if key.kind == kind]

    def users_of(self, secret: ObjectKey) -> list[Workload]:
        return [self._workloads[key] for key in sorted(self._users.get(secret, ()))]


def secrets_of(workload: Workload | None) -> set[ObjectKey]:
    """Return the Secrets that a workload uses."""
    if workload is None:
        return set()
    return {ObjectKey(workload.key.namespace, use.secret) for use in workload.uses}
