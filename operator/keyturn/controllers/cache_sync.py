"""How the mirror is filled before anything is decided, and swept of what was deleted unseen."""

from __future__ import annotations

import asyncio
import contextlib
import random
from itertools import count
from typing import TYPE_CHECKING, Final

import structlog

from keyturn.kube import errors, paths

from .discovery import unnamed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.kube.secret_sight import SightOf

    from .context import Context
    from .event_handlers import Watches
    from .watch_liveness import WatchLiveness

__all__ = ["Upkeep"]

_SWEEP_EVERY: Final = 600.0
_RELIST_PAUSE: Final = 2.0
_HINT: Final = "are the CRDs and the RBAC installed? See keyturn check"

_log = structlog.get_logger()


class Upkeep:
    """Lists everything once, and again after each list of kopf's and at times."""

    def __init__(self, context: Context, watches: Watches, secrets: SightOf, pulse: WatchLiveness) -> None:
        self.is_primed = asyncio.Event()
        self._world = context
        self._watches = watches
        self._secrets = secrets
        self._pulse = pulse
        self._trouble = ""

    def problems(self) -> list[str]:
        """Say what is not listed yet, and why, as far as it was tried."""
        if self.is_primed.is_set():
            return []
        return [f"objects not listed yet: {self._trouble}" if self._trouble else "objects not listed yet"]

    async def run(self) -> None:
        """Keep the mirror for as long as the process lives."""
        await self._secrets.synced.wait()
        while True:
            self._pulse.relisted.clear()
            await self._sweep()
            if not self.is_primed.is_set():
                await self._discover()
                self._prime()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SWEEP_EVERY):
                    await self._pulse.relisted.wait()
            await asyncio.sleep(_RELIST_PAUSE)  # the lists of the other kinds come with this one

    def _prime(self) -> None:
        cache = self._world.cache
        keys = list(cache.managed_keys())
        _log.info("watching", managed_secrets=len(keys))
        self._world.tags.expect(key for key in keys if cache.environment(key.namespace))
        self.is_primed.set()

    async def _sweep(self) -> None:
        """List everything, however long the API server is away or does not know our kinds."""
        for pause in _backoffs():
            try:
                await self._watches.sweep()
            except errors.ApiError as error:
                self._tell(error)
                await asyncio.sleep(pause)
            else:
                self._trouble = ""
                return

    async def _discover(self) -> None:
        """Wait until kopf finds every kind of ours; changes meanwhile come with the sweep after kopf's lists."""
        for pause in _backoffs():
            try:
                lacking = await unnamed(self._world.api)
            except errors.ApiError as error:
                self._tell(error)
            else:
                if not lacking:
                    return
                self._trouble = f"discovery does not name {', '.join(lacking)} yet"
            await asyncio.sleep(pause)

    def _tell(self, error: errors.ApiError) -> None:
        """Log what is in the way, once as long as it stays the same."""
        if isinstance(error, errors.Forbidden):
            trouble = f"may not {error.verb} {paths.described(error.path)}"
        else:
            trouble = str(error)
        if trouble != self._trouble:
            hint = {} if self.is_primed.is_set() else {"hint": _HINT}
            _log.warning("objects not listed", why=trouble, error=error, **hint)
        self._trouble = trouble


def _backoffs() -> Iterator[float]:
    return (min(30.0, 2.0**tries) * random.uniform(0.5, 1) for tries in count())  # noqa: S311 - it spreads a herd
