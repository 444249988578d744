"""Lists of pods: of a workload by its selector, or of a namespace, which all that ask at one time share.

There is no watch of pods and no list at rest. A list of a namespace costs 0.4 ms for each of its pods, so the rollout
of a workload lists its own pods alone. Pods are read in pages, and each page is reduced before the next one is read.
Only the request that begins a list of a namespace waits for it, because each that waits has a worker.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from keyturn.core.errors import copied
from keyturn.core.keys import WorkloadKey
from keyturn.core.observation.workload import Pod, PodsSeen, Use, Workload, is_of
from keyturn.core.rotation.old_pods import UNREAD_INTERVAL, next_read
from keyturn.core.rotation.rollout_obstacles import is_left_behind

from . import errors, paths
from .client import Api
from .pods import may_delete_pods, pod_of
from .wire import Body

_NOT_ENDED: Final = "status.phase!=Succeeded,status.phase!=Failed"
"""A pod that has ended reads no Secret, even if a finalizer keeps it."""
_PAGE: Final = 500
"""Pods in a page at most."""
_MIN_INTERVAL: Final = timedelta(seconds=5)
"""Time between two lists of a workload during its rollout at least, for each page."""
_LIST_LIFETIME: Final = timedelta(minutes=10)
"""For how long a list of a workload is kept after another one is due."""
_KEPT: Final = 120.0
"""Seconds for which a list of a namespace is kept."""
_SHARE: Final = 0.05
"""Part of the time that lists of one namespace may take, so that hundreds of rotations at once share a few."""
_MAX_PAUSE: Final = 2.0
"""Seconds between two lists of one namespace at most."""
_LONGEST_WAIT: Final = 30.0
"""Seconds after which a request that waits for the end of a list comes again in any case."""


_Rollout: TypeAlias = "tuple[str, str, datetime | None]"
"""UID and marker of a workload, and when that was written."""


class _OfWorkload(NamedTuple):
    rollout: _Rollout
    """A list of another rollout does not count."""
    again: datetime
    """When another one is due."""
    pods: PodsSeen


@dataclass(slots=True)
class _OfNamespace:
    began: float = 0.0
    """When the last list was requested, by the process's monotonic clock."""
    pods: PodsSeen | None = None
    error: errors.ApiError | None = None
    """Why the last list failed; None if it did not."""
    rests_until: float = 0.0
    waiting: list[Callable[[], None]] | None = None
    """Called at the end of the list in progress; None without one."""


class ListPaused(Exception):  # noqa: N818  # a result, as a missing list is none
    """The pods of a namespace are being listed, or were a moment ago; ask again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"pods of this namespace are listed again after {seconds:.1f} s")
        self.seconds = seconds


class PodLists:
    """Reader of pods."""

    def __init__(self, api: Api, ticks: Callable[[], float]) -> None:
        self.share = _SHARE
        """Part of the time that lists of a namespace may take; with 1 they have no pauses."""
        self._api = api
        self._ticks = ticks
        self._workloads: dict[WorkloadKey, _OfWorkload] = {}
        self._namespaces: defaultdict[str, _OfNamespace] = defaultdict(_OfNamespace)

    # Of a workload

    def last(self, workload: Workload, first: datetime, now: datetime) -> PodsSeen | None:
        """Return the last list of a rollout, which is empty before `first`; None if another one is due."""
        known, rollout = self._workloads.get(workload.key), _rollout_of(workload)
        if known is None or known.rollout != rollout:
            known = _OfWorkload(rollout, first, PodsSeen(again=first))
        return known.pods if known.again > now else None

    async def of_workload(self, workload: Workload, began: datetime, now: datetime) -> PodsSeen:
        """List the pods of a workload whose rollout began at `began`.

        Raises:
            ApiError: They could not be read, such as without the permission, which is asked for again later.
        """
        own = partial(_own_pod_of, workload=workload)
        try:
            pods, pages = await self._list(workload.key.namespace, own, labelSelector=workload.selector)
        except errors.Forbidden:
            self._keep(workload, PodsSeen(forbidden=True), now + UNREAD_INTERVAL, now)
            raise
        is_stuck = any(is_left_behind(pod, workload) and pod.never_ready for pod in pods)
        deletable = is_stuck and await may_delete_pods(self._api, workload.key.namespace)
        again = next_read(began, now, _MIN_INTERVAL * pages)
        return self._keep(workload, PodsSeen(pods, deletable=deletable), again, now)

    def forget(self, workload: WorkloadKey) -> None:
        """Drop the list, because a pod was changed just now."""
        self._workloads.pop(workload, None)

    def _keep(self, workload: Workload, found: PodsSeen, again: datetime, now: datetime) -> PodsSeen:
        oldest = now - _LIST_LIFETIME
        self._workloads = {key: one for key, one in self._workloads.items() if one.again > oldest}
        found = replace(found, again=again)
        self._workloads[workload.key] = _OfWorkload(_rollout_of(workload), again, found)
        return found

    # Of a namespace: a list serves every request that came before it started. One that fails has a pause as well,
    # during which its error is the answer.

    async def of_namespace(
        self, namespace: str, since: float, wake: Callable[[], None] = lambda: None
    ) -> PodsSeen:
        """Return the pods that use Secrets, by a list that was requested at `since` or later.

        Raises:
            ListPaused: There is none: a list is in progress, and `wake` is called at its end, or lists have a pause.
            ApiError: The pods could not be read, now or just before; a missing permission is a result, not an error.
        """
        self._drop_old()
        entry = self._namespaces[namespace]
        if entry.pods is not None and entry.began >= since:
            return entry.pods
        if entry.waiting is not None:
            entry.waiting.append(wake)
            raise ListPaused(_LONGEST_WAIT)
        if (pause := entry.rests_until - self._ticks()) > 0:
            raise copied(entry.error) if entry.error else ListPaused(pause)
        return await self._begin(namespace, entry)

    async def _begin(self, namespace: str, entry: _OfNamespace) -> PodsSeen:
        """List the pods, and wake all that ask meanwhile at the end."""
        waiting: list[Callable[[], None]] = []
        began = self._ticks()
        entry.waiting, entry.error = waiting, None
        try:
            found = await self._holding(namespace)
            entry.began, entry.pods = began, found
        except errors.ApiError as error:
            entry.error = copied(error)
            raise
        finally:
            ended = self._ticks()
            entry.rests_until = ended + min(_MAX_PAUSE, (ended - began) * (1 / self.share - 1))
            entry.waiting = None
            for wake in waiting:
                wake()
        return found

    async def _holding(self, namespace: str) -> PodsSeen:
        try:
            pods, _ = await self._list(namespace, partial(holding_pod_of, shared={}))
        except errors.Forbidden:
            return PodsSeen(forbidden=True)
        return PodsSeen(pods)

    def _drop_old(self) -> None:
        now = self._ticks()
        for name, entry in list(self._namespaces.items()):
            is_used = entry.waiting is not None or entry.rests_until > now
            if not is_used and (entry.pods is None or entry.began < now - _KEPT):
                del self._namespaces[name]

    async def _list(
        self, namespace: str, parse: Callable[[Body], Pod | None], **selected: str
    ) -> tuple[tuple[Pod, ...], int]:
        """Return the pods, and the number of pages."""
        pods, pages = list[Pod](), 0
        asked = {"fieldSelector": _NOT_ENDED, **selected}
        async for page in self._api.pages(paths.pods(namespace), asked, limit=_PAGE):
            pods = [] if page.first else pods
            pods += filter(None, map(parse, page.items))
            pages += 1
        return tuple(pods), pages


def _rollout_of(workload: Workload) -> _Rollout:
    return workload.uid, workload.marker, workload.restarted


def _own_pod_of(body: Body, workload: Workload) -> Pod | None:
    pod = pod_of(body)
    return pod if is_of(pod, workload) else None


def holding_pod_of(body: Body, shared: dict[tuple[Use, ...], tuple[Use, ...]]) -> Pod | None:
    """Parse a pod; None if it uses no Secret, or no node has it, so that it can only read newer values.

    `shared` has the uses of pods of one template once.
    """
    pod = pod_of(body)
    if not pod.uses or not body["spec"].get("nodeName"):
        return None
    return replace(pod, uses=shared.setdefault(pod.uses, pod.uses))
