"""Synchronises the informer cache: lists all kinds before the first reconcile, and later to find missed deletions."""

from __future__ import annotations

import asyncio
import contextlib
from math import inf
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.core.observation.workload_kinds import REQUIRED_TYPES
from keyturn.kube import errors, paths
from keyturn.runtime.clock import loop_time, pauses

from .discovery import find_watchable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from keyturn.kube.secret_source import SecretSource

    from .context import Context
    from .event_handlers import EventHandlers
    from .watch_liveness import WatchLiveness

_SWEEP_INTERVAL: Final = 600.0
_RELIST_PAUSE: Final = 2.0
_FRESH: Final = 10.0
"""Seconds for which a list counts as new: a restore since then shows in the Lease, which is read more often."""
_HINT: Final = "are the CRDs and the RBAC installed? See keyturn check"

_log = structlog.get_logger()


class CacheSync:
    """Lists all kinds at the start, after each list of kopf's, and every 10 minutes."""

    def __init__(
        self, context: Context, handlers: EventHandlers, secrets: SecretSource, liveness: WatchLiveness
    ) -> None:
        self.is_primed = asyncio.Event()
        self._context = context
        self._handlers = handlers
        self._secrets = secrets
        self._liveness = liveness
        self._trouble = ""
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
            self._listed_at = loop_time()
            if not self.is_primed.is_set():
                if self._handlers.absent_kinds:  # installed after the first list of them, or not at all
                    await self.sweep()
                self._prime()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_INTERVAL):
                    await self._liveness.relisted.wait()
            await asyncio.sleep(_RELIST_PAUSE)  # kopf lists its kinds within 2 s; one sweep follows all

    def doubt(self) -> None:
        """List all kinds soon, unless they were just listed."""
        if loop_time() > self._listed_at + _FRESH:
            self._liveness.relisted.set()

    def _prime(self) -> None:
        _log.info("watching", managed_secrets=len(list(self._context.cache.managed_keys())))
        self._handlers.expect_values()
        self.is_primed.set()

    async def _find_workload_types(self) -> None:
        """Find the optional kinds of workload once, as kopf does."""
        namespaces = self._handlers.namespaces
        found = await find_watchable(self._context.api, None if namespaces is None else tuple(namespaces))
        self._handlers.workload_types = REQUIRED_TYPES + found

    async def sweep(self) -> None:
        """List all kinds; retries until the API server answers and serves them."""
        await self._retry(self._handlers.sweep)

    async def _retry(self, call: Callable[[], Awaitable[None]]) -> None:
        for pause in pauses(1.0, 30.0):
            try:
                await call()
            except errors.ApiError as error:
                self._log_trouble(error)
                await asyncio.sleep(pause)
            else:
                self._trouble = ""
                return

    def _log_trouble(self, error: errors.ApiError) -> None:
        """Log why objects cannot be listed, once per cause."""
        if isinstance(error, errors.Forbidden):
            trouble = f"may not {error.verb} {paths.described(error.path)}"
        else:
            trouble = str(error)
        if trouble != self._trouble:
            hint = {} if self.is_primed.is_set() else {"hint": _HINT}
            _log.warning("objects not listed", reason=trouble, error=error, **hint)
        self._trouble = trouble
