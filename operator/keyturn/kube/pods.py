"""Pods of a workload: requests that list, delete and evict them, and when they are read during a rollout."""

from __future__ import annotations

import enum
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from keyturn.core.observation.pods import PodsSeen
from keyturn.core.rotation.rollout_obstacles import is_left_behind

from . import errors, paths
from .pod_body import belongs_to, pod_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.pods import Pod
    from keyturn.core.observation.workload import Workload

    from .client import Api

NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"
"""A pod that has ended reads no Secret, even if a finalizer keeps it."""
READ_GRACE = timedelta(seconds=10)
"""Time after the start of a rollout without reads: most are complete by then."""
NO_GRACE = timedelta(0)
"""For a failed rollout, whose pods have the cause."""
_MIN_INTERVAL = timedelta(seconds=5)
_MAX_INTERVAL = timedelta(minutes=5)
_FORBIDDEN_INTERVAL = timedelta(minutes=1)
_INTERVAL_DIVISOR = 4
"""Divisor: the interval is this part of the time since the rollout began."""


class PodDetail(enum.Enum):
    """Whether pods are read whole or only their metadata."""

    METADATA = enum.auto()
    WHOLE = enum.auto()


async def pods_of(api: Api, workload: Workload, part: PodDetail) -> tuple[tuple[Pod, ...], int]:
    """Return the pods of a workload, and the number of pages.

    Raises:
        ApiError: They could not be read.
    """
    selected = {"labelSelector": workload.selector, "fieldSelector": NOT_ENDED}
    path = paths.pods(workload.key.namespace)
    pods: list[Pod] = []
    pages = 0
    async for page in api.pages(path, selected, metadata_only=part is PodDetail.METADATA):
        pods = [] if page.first else pods
        pods += (pod_of(body) for body in page.items if belongs_to(body, workload))
        pages += 1
    return tuple(pods), pages


async def _may_delete_pods(api: Api, namespace: str) -> bool:
    """Return whether RBAC lets the operator delete pods, which it does not by default."""
    asked = {"namespace": namespace, "verb": "delete", "group": "", "resource": "pods"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    try:
        answer = await api.request(paths.own_access_reviews(), review)
    except errors.Forbidden:
        return False
    return bool(answer.get("status", {}).get("allowed"))


async def delete_pod(api: Api, namespace: str, pod: Pod) -> None:
    """Delete a pod as it was read; success if it is absent.

    Raises:
        Conflict: It has changed since, such as by becoming ready, or was replaced.
    """
    await api.delete(paths.pod(namespace, pod.name), {"uid": pod.uid, "resourceVersion": pod.version})


async def evict_pod(api: Api, namespace: str, name: str, uid: str) -> None:
    """Evict a pod, which honours its PodDisruptionBudgets; success if it is absent or was replaced.

    Raises:
        Throttled: A budget does not allow it now.
        Forbidden: RBAC does not permit it, which is the default.
    """
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    }
    try:
        await api.create(paths.eviction(namespace, name), body)
    except (errors.NotFound, errors.Conflict):
        return


# Reads during a rollout


class _Read(NamedTuple):
    of: tuple[str, str]
    """UID and marker of the workload; a result of another rollout does not count."""
    again: datetime
    observed: PodsSeen


class PodReader:
    """Reader of the pods of workloads with a rollout in progress, with a growing interval.

    Old results are dropped.
    """

    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now
        self._reads: dict[WorkloadKey, _Read] = {}

    def last(self, workload: Workload, began: datetime, grace: timedelta) -> PodsSeen | None:
        """Return the last result, which is empty within the grace period; None if a read is due."""
        now, known = self._now(), self._reads.get(workload.key)
        if known is None or known.of != (workload.uid, workload.marker):
            again = min(began, now) + grace
            known = _Read((workload.uid, workload.marker), again, PodsSeen(again))
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
        self._reads.pop(workload, None)

    async def _read_whole(self, workload: Workload, began: datetime) -> PodsSeen:
        since = self._now() - began
        pods, pages = await pods_of(self._api, workload, PodDetail.WHOLE)
        is_stuck = any(is_left_behind(pod, workload) and pod.never_ready for pod in pods)
        deletable = is_stuck and await _may_delete_pods(self._api, workload.key.namespace)
        pause = min(max(since / _INTERVAL_DIVISOR, _MIN_INTERVAL * pages), _MAX_INTERVAL)
        return self._store(workload, self._now() + pause, PodsSeen(pods=pods, deletable=deletable))

    def _store(self, workload: Workload, again: datetime, observed: PodsSeen) -> PodsSeen:
        moment = self._now() - 2 * _MAX_INTERVAL
        self._reads = {key: read for key, read in self._reads.items() if read.again > moment}
        observed = replace(observed, again=again)
        self._reads[workload.key] = _Read((workload.uid, workload.marker), again, observed)
        return observed
