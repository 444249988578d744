"""Workloads in the informer cache, indexed by the Secrets that they use, and the last read of their pods."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from keyturn.core.keys import ObjectKey
from keyturn.core.observation.pods import PodsSeen
from keyturn.core.rotation.rollout_obstacles import is_left_behind
from keyturn.kube import errors
from keyturn.kube.pods import PodDetail, may_delete_pods, pods_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.workload import Workload
    from keyturn.kube.client import Api

__all__ = ["GRACE", "NO_GRACE", "PodLooks", "WorkloadCache", "secrets_of"]
GRACE = timedelta(seconds=10)
"""Time after the start of a rollout without reads: most are complete by then."""
NO_GRACE = timedelta(0)
"""For a failed rollout, whose pods have the cause."""
_MIN_INTERVAL = timedelta(seconds=5)
_MAX_INTERVAL = timedelta(minutes=5)
_FORBIDDEN_INTERVAL = timedelta(minutes=1)
_INTERVAL_DIVISOR = 4
"""Divisor: the interval is this part of the time since the rollout began."""


class WorkloadCache:
    """Workloads by key, and workload keys by Secret.

    A workload that uses the pod template of another one is returned with it.
    """

    def __init__(self) -> None:
        self._workloads: dict[WorkloadKey, Workload] = {}
        self._borrowers: defaultdict[WorkloadKey, set[WorkloadKey]] = defaultdict(set)
        """Workloads that use the pod template of the key."""
        self._users: defaultdict[ObjectKey, set[WorkloadKey]] = defaultdict(set)

    def put(self, workload: Workload) -> Workload | None:
        """Store a workload; return its former state."""
        known = self.drop(workload.key)
        self._workloads[workload.key] = workload
        for secret in secrets_of(workload):
            self._users[secret].add(workload.key)
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
            self._users[secret].discard(key)
            if not self._users[secret]:
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
        using = self._users.get(secret, set())
        using = using.union(*(self._borrowers.get(key, ()) for key in using)) if self._borrowers else using
        return [self.whole(self._workloads[key]) for key in sorted(using)]


def secrets_of(workload: Workload | None) -> set[ObjectKey]:
    """Return the Secrets that a workload uses."""
    if workload is None:
        return set()
    return {ObjectKey(workload.key.namespace, use.secret) for use in workload.uses}


class _Look(NamedTuple):
    of: tuple[str, str]
    """UID and marker of the workload; a result of another rollout does not count."""
    again: datetime
    observed: PodsSeen


class PodLooks:
    """Reader of the pods of workloads with a rollout in progress, with a growing interval.

    Old results are dropped.
    """

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._looks: dict[WorkloadKey, _Look] = {}

    def last(self, workload: Workload, began: datetime, grace: timedelta) -> PodsSeen | None:
        """Return the last result, which is empty within the grace period; None if a read is due."""
        now, known = self._now(), self._looks.get(workload.key)
        if known is None or known.of != (workload.uid, workload.marker):
            again = min(began, now) + grace
            known = _Look((workload.uid, workload.marker), again, PodsSeen(again))
        return known.observed if known.again > now else None

    async def read(self, workload: Workload, began: datetime) -> PodsSeen:
        """Read the pods now; for a settled workload only their metadata, because its remaining pods are ready.

        Raises:
            ApiError: They could not be read; missing permission is a result, not an error.
        """
        try:
            return await (self.read_ages(workload) if workload.settled else self._read_whole(workload, began))
        except errors.Forbidden:
            return self._store(workload, self._now() + _FORBIDDEN_INTERVAL, PodsSeen(forbidden=True))

    async def read_ages(self, workload: Workload) -> PodsSeen:
        """Read the metadata of the pods now: creation time and template.

        Raises:
            ApiError: They could not be read.
        """
        pods, _ = await pods_of(self._api, workload, PodDetail.METADATA)
        return PodsSeen(pods=pods)

    def forget(self, workload: WorkloadKey) -> None:
        """Drop the result, because a pod was changed just now."""
        self._looks.pop(workload, None)

    async def _read_whole(self, workload: Workload, began: datetime) -> PodsSeen:
        since = self._now() - began
        pods, pages = await pods_of(self._api, workload, PodDetail.WHOLE)
        is_stuck = any(is_left_behind(pod, workload) and pod.never_ready for pod in pods)
        deletable = is_stuck and await may_delete_pods(self._api, workload.key.namespace)
        pause = min(max(since / _INTERVAL_DIVISOR, _MIN_INTERVAL * pages), _MAX_INTERVAL)
        return self._store(workload, self._now() + pause, PodsSeen(pods=pods, deletable=deletable))

    def _store(self, workload: Workload, again: datetime, observed: PodsSeen) -> PodsSeen:
        moment = self._now() - 2 * _MAX_INTERVAL
        self._looks = {key: look for key, look in self._looks.items() if look.again > moment}
        observed = replace(observed, again=again)
        self._looks[workload.key] = _Look((workload.uid, workload.marker), again, observed)
        return observed
