"""Lists the pods of a namespace that use Secrets; all that ask at one time share one list, and lists have pauses.

Pods are read in pages, and each page is reduced before the next one is read. There is no watch and no list at rest.
Only the request that begins a list waits for it, because each that waits has a worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from keyturn.core.errors import copied
from keyturn.core.observation.workload import Pod, Use, uses_of

from . import errors, paths
from .client import Api
from .pods import NOT_ENDED, pod_of
from .wire import Body

_KEPT: Final = 120.0
"""Seconds for which a list is kept."""
_PAGE: Final = 500
"""Pods in a page at most."""
_SHARE: Final = 0.05
"""Part of the time that lists of one namespace may take, so that hundreds of rotations at once share a few."""
_MAX_PAUSE: Final = 2.0
"""Seconds between two lists of one namespace at most."""
_LONGEST_WAIT: Final = 30.0
"""Seconds after which a request that waits for the end of a list comes again in any case."""


@dataclass(frozen=True, slots=True)
class PodList:
    """The pods of a namespace that use Secrets."""

    began: float
    """When the list was requested, by the process's monotonic clock."""
    pods: tuple[Pod, ...] = ()
    forbidden: bool = False


@dataclass(slots=True)
class _Namespace:
    last: PodList | None = None
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


def _wake_nothing() -> None:
    pass


class NamespacePods:
    """Single-flight reader: a list serves every request that came before it started.

    A list that fails has a pause as well, during which its error is the answer.
    """

    def __init__(self, api: Api, ticks: Callable[[], float]) -> None:
        self.share = _SHARE
        """Part of the time that lists may take; with 1 they have no pauses."""
        self._api = api
        self._ticks = ticks
        self._namespaces: defaultdict[str, _Namespace] = defaultdict(_Namespace)

    async def read(self, namespace: str, since: float, wake: Callable[[], None] = _wake_nothing) -> PodList:
        """Return a list that was requested at `since` or later.

        Raises:
            ListPaused: There is none: a list is in progress, and `wake` is called at its end, or lists have a pause.
            ApiError: The pods could not be read, now or just before; a missing permission is a result, not an error.
        """
        self._drop_old()
        entry = self._namespaces[namespace]
        if entry.last is not None and entry.last.began >= since:
            return entry.last
        if entry.waiting is not None:
            entry.waiting.append(wake)
            raise ListPaused(_LONGEST_WAIT)
        if (pause := entry.rests_until - self._ticks()) > 0:
            raise copied(entry.error) if entry.error else ListPaused(pause)
        return await self._begin(namespace, entry)

    async def _begin(self, namespace: str, entry: _Namespace) -> PodList:
        """List the pods, and wake all that ask meanwhile at the end."""
        waiting: list[Callable[[], None]] = []
        began = self._ticks()
        entry.waiting, entry.error = waiting, None
        try:
            entry.last = found = await self._list(namespace, began)
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

    async def _list(self, namespace: str, began: float) -> PodList:
        pods: list[Pod] = []
        shared: dict[tuple[Use, ...], tuple[Use, ...]] = {}
        try:
            async for page in self._api.pages(
                paths.pods(namespace), {"fieldSelector": NOT_ENDED}, limit=_PAGE
            ):
                pods = [] if page.first else pods
                pods += (pod for body in page.items if (pod := holding_pod_of(body, shared)))
        except errors.Forbidden:
            return PodList(began, forbidden=True)
        return PodList(began, tuple(pods))

    def _drop_old(self) -> None:
        now = self._ticks()
        for name, entry in list(self._namespaces.items()):
            is_used = entry.waiting is not None or entry.rests_until > now
            if not is_used and (entry.last is None or entry.last.began < now - _KEPT):
                del self._namespaces[name]


def holding_pod_of(body: Body, shared: dict[tuple[Use, ...], tuple[Use, ...]]) -> Pod | None:
    """Parse a pod; None if it uses no Secret, or no node has it, so that it can only read newer values.

    `shared` has the uses of pods of one template once.
    """
    spec = body.get("spec") or {}
    uses = uses_of(spec)
    uses = shared.setdefault(uses, uses)
    if not uses or not spec.get("nodeName"):
        return None
    return pod_of(body, uses)
