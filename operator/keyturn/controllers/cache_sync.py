"""Synchronises the informer cache: which kinds are listed, when, and whether their watches are alive.

All kinds are listed before the first reconcile, and later to find missed deletions. Optional kinds of workload are
those that the API server has and the operator may list and watch. A watch of kopf is alive by responses on its
session, the others by the time of their last activity.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.observation.workload_kinds import OPTIONAL_TYPES, REQUIRED_TYPES, WorkloadType
from keyturn.installation.checks import rights
from keyturn.installation.checks.rights import Place
from keyturn.kube import errors, paths
from keyturn.kube.client import Api
from keyturn.kube.secret_informer import SecretInformer, SecretPoller
from keyturn.runtime.clock import loop_time, pauses

from .context import Context
from .event_handlers import EventHandlers

if TYPE_CHECKING:
    import aiohttp

_GROUPS: Final = "/apis"

_log = structlog.get_logger()


async def find_named_types(api: Api) -> tuple[WorkloadType, ...]:
    """Return the optional kinds of workload that discovery names."""
    groups = (await api.get(_GROUPS)).get("groups") or ()
    versions = {version["groupVersion"] for group in groups for version in group.get("versions") or ()}
    return tuple(
        [row for row in OPTIONAL_TYPES if row.plural in await _find_names(api, row.api_version, versions)]
    )


async def find_watchable(api: Api, namespaces: tuple[str, ...] | None) -> tuple[WorkloadType, ...]:
    """Return the optional kinds of workload that discovery names and the operator may list and watch.

    Selected namespaces without the rights on kinds that every cluster has, such as a deleted one, do not count.
    """
    named = await find_named_types(api)
    if named and namespaces is not None:
        namespaces = await _find_served(api, namespaces) or namespaces
    found = []
    for row in named:
        missing = await rights.missing(api, rights.rights_on(row, Place("", namespaces)), None)
        if missing:
            _log.info("kind not watched", kind=row.kind, permission=str(missing[0]), hint=missing[0].manifest)
        else:
            found.append(row)
    return tuple(found)


async def _find_served(api: Api, namespaces: tuple[str, ...]) -> tuple[str, ...]:
    """Return the namespaces in which the operator may list and watch the first kind that every cluster has."""
    kind = REQUIRED_TYPES[0]
    return tuple(
        [
            namespace
            for namespace in namespaces
            if not await rights.missing(api, rights.rights_on(kind, Place("", (namespace,))), None)
        ]
    )


async def _find_names(api: Api, version: str, versions: set[str]) -> set[str]:
    """Return the plurals that discovery names in a version of a group."""
    if version not in versions:
        return set()
    try:
        resources = (await api.get(f"{_GROUPS}/{version}")).get("resources") or ()
    except errors.NotFound:
        return set()
    return {resource["name"] for resource in resources}


_STUCK_AFTER = 180.0
"""Three times the duration after which a watch is renewed."""


def is_stuck(last_alive: float) -> bool:
    """Whether a watch with its last activity at that time of the event loop hangs."""
    return loop_time() - last_alive > _STUCK_AFTER


class WatchLiveness:
    """Time of the last response per watched collection, recorded by kopf's own session."""

    starts: Mapping[str, str]
    """Collections whose watch begins where the list before kopf's first one ended, which needs no sweep."""

    def __init__(self) -> None:
        self.starts = {}
        self.beats: dict[str, float] = {}
        self.relisted = asyncio.Event()
        """Set when kopf lists: kopf gets no objects, and deletions in the gap raise no event, so a sweep is due."""

    def expect(self, paths: Iterable[str]) -> None:
        """Count these collections as watched from now on, so that a watch that never begins hangs, too."""
        for path in paths:
            self.beats.setdefault(path, loop_time())

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        path, is_watch = request.url.raw_path, "watch" in request.url.query
        try:
            response = await handler(request)
        finally:
            # A failure counts as activity: the probe is to find watches that hang.
            if is_watch or path in self.beats:
                self.beats[path] = loop_time()
        is_list = not is_watch and (path in self.beats or "limit" in request.url.query)
        if response.ok and is_list and path not in self.starts:
            self.relisted.set()
        return response

    def problems(self) -> list[str]:
        """Return the watches that hang, for the liveness probe."""
        return [f"watch stuck: {path}" for path, beat in self.beats.items() if is_stuck(beat)]


_SWEEP_INTERVAL: Final = 600.0
_RELIST_PAUSE: Final = 2.0
_FRESH: Final = 10.0
"""Seconds for which a list counts as new: a restore since then shows in the Lease, which is read more often."""
_HINT: Final = "are the CRDs and the RBAC installed? See keyturn check"


class CacheSync:
    """Lists all kinds at the start, after each list of kopf's, and every 10 minutes."""

    def __init__(
        self,
        context: Context,
        handlers: EventHandlers,
        secrets: SecretInformer | SecretPoller,
        liveness: WatchLiveness,
    ) -> None:
        self.is_primed = asyncio.Event()
        self._context = context
        self._handlers = handlers
        self._secrets = secrets
        self._liveness = liveness
        self._trouble = ""
        self._sweeping = asyncio.Lock()
        self._listed_at = -inf

    def problems(self) -> list[str]:
        """Return why the cache is not ready, for the readiness probe."""
        if self.is_primed.is_set():
            return []
        return [f"objects not listed yet: {self._trouble}" if self._trouble else "objects not listed yet"]

    async def run(self) -> None:
        """Run until cancelled."""
        await self._secrets.synced.wait()
        await self._retry(self._find_workload_types)
        while True:
            self._liveness.relisted.clear()
            await self.sweep()
            if not self.is_primed.is_set():
                if self._handlers.absent_kinds:  # installed after the first list of them, or not at all
                    await self.sweep()
                _log.info("watching", managed_secrets=len(list(self._context.cache.managed_keys())))
                self._handlers.expect_values()
                self.is_primed.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_INTERVAL):
                    await self._liveness.relisted.wait()
            await asyncio.sleep(_RELIST_PAUSE)  # kopf lists its kinds within 2 s; one sweep follows all

    def doubt(self) -> None:
        """List all kinds soon, unless they were just listed."""
        if self._is_old:
            self._liveness.relisted.set()

    async def fresh(self) -> None:
        """List all kinds, unless they were just listed.

        Events of a restored etcd have versions that are no news, so what a standby knows may be of a future that is
        lost: a workload may seem to have restarted that has not.

        Raises:
            HistoryLost: It is.
        """
        async with self._sweeping:
            if self._is_old:
                await self._list()

    @property
    def _is_old(self) -> bool:
        return loop_time() > self._listed_at + _FRESH

    async def _find_workload_types(self) -> None:
        """Find the optional kinds of workload once, as kopf does."""
        namespaces = self._handlers.namespaces
        found = await find_watchable(self._context.api, None if namespaces is None else tuple(namespaces))
        self._handlers.workload_types = REQUIRED_TYPES + found

    async def sweep(self) -> None:
        """List all kinds; retries until the API server answers and serves them."""
        async with self._sweeping:
            await self._list()

    async def _list(self) -> None:
        began = loop_time()
        await self._retry(self._handlers.sweep)
        self._listed_at = began

    async def _retry(self, call: Callable[[], Awaitable[None]]) -> None:
        for pause in pauses(1.0, 30.0):
            try:
                await call()
            except errors.ApiError as error:
                if isinstance(error, errors.Forbidden):
                    trouble = f"may not {error.verb} {paths.described(error.path)}"
                else:
                    trouble = str(error)
                if trouble != self._trouble:
                    hint = {} if self.is_primed.is_set() else {"hint": _HINT}
                    _log.warning("objects not listed", reason=trouble, error=error, **hint)
                self._trouble = trouble
                await asyncio.sleep(pause)
            else:
                self._trouble = ""
                return
