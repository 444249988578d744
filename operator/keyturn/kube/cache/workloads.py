"""Workloads in the informer cache, indexed by the Secrets that they use."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from keyturn.core.keys import ObjectKey

if TYPE_CHECKING:
    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.workload import Workload


class WorkloadCache:
    """Workloads by key, and workload keys by Secret.

    A workload that uses the pod template of another one is returned with it.
    """

    def __init__(self) -> None:
        self._workloads: dict[WorkloadKey, Workload] = {}
        self._borrowers: defaultdict[WorkloadKey, set[WorkloadKey]] = defaultdict(set)
        """Workloads that use the pod template of the key."""
        self._users: dict[ObjectKey, frozenset[WorkloadKey] | set[WorkloadKey]] = {}
        """Workloads by Secret; of a Secret with one, the frozen set is shared by all Secrets of the workload."""

    def put(self, workload: Workload) -> Workload | None:
        """Store a workload; return its former state."""
        known = self.drop(workload.key)
        self._workloads[workload.key] = workload
        alone = frozenset({workload.key})
        for secret in secrets_of(workload):
            users = self._users.setdefault(secret, alone)
            if isinstance(users, set):
                users.add(workload.key)
            elif users is not alone:
                self._users[secret] = {*users, workload.key}
        if workload.template_of:
            self._borrowers[workload.template_of].add(workload.key)
        return known

    def has(self, workload: Workload) -> bool:
        """Whether a workload is known as it is."""
        return self._workloads.get(workload.key) == workload

    def rolling(self) -> list[WorkloadKey]:
        """Return the workloads with a restart marker whose rollout is not complete."""
        workloads = map(self.whole, self._workloads.values())
        return [workload.key for workload in workloads if workload.marker and not workload.settled]

    def drop(self, key: WorkloadKey) -> Workload | None:
        """Drop a workload; return its former state."""
        known = self._workloads.pop(key, None)
        for secret in secrets_of(known):
            users = self._users[secret]
            if isinstance(users, set):
                users.discard(key)
            if users in ({key}, set()):
                del self._users[secret]
        if known and known.template_of:
            self._borrowers[known.template_of].discard(key)
            if not self._borrowers[known.template_of]:
                del self._borrowers[known.template_of]
        return known

    def get(self, key: WorkloadKey) -> Workload | None:
        workload = self._workloads.get(key)
        return self.whole(workload) if workload else None

    def whole(self, workload: Workload) -> Workload:
        """Return a workload with the pod template that it uses, if that is known."""
        other = self._workloads.get(workload.template_of) if workload.template_of else None
        return workload.with_template_of(other) if other else workload

    def borrowers_of(self, key: WorkloadKey) -> list[WorkloadKey]:
        """Return the workloads that use the pod template of another one."""
        return sorted(self._borrowers.get(key, ()))

    def keys(self, kind: str) -> list[WorkloadKey]:
        return [key for key in self._workloads if key.kind == kind]

    def users_of(self, secret: ObjectKey) -> list[Workload]:
        using = self._users.get(secret, frozenset())
        using = using.union(*(self._borrowers.get(key, ()) for key in using)) if self._borrowers else using
        return [self.whole(self._workloads[key]) for key in sorted(using)]


def secrets_of(workload: Workload | None) -> set[ObjectKey]:
    """Return the Secrets that a workload uses."""
    if workload is None:
        return set()
    return {ObjectKey(workload.key.namespace, use.secret) for use in workload.uses}
