"""Which Secrets of ours there are, found by their names alone: read in turn, by an operator that may not list them.

Only metadata crosses the wire. Every Secret that a ManagedSecret names is read once in a round (`rounds`); what a
decision needs is read besides (`observe`), and the answer to a write tells what was written.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from . import errors, paths
from .read_rounds import LATEST, Rounds
from .secret_informer import meta_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from keyturn.core.keys import ObjectKey

    from .client import Api
    from .secret_informer import SecretMeta

__all__ = ["PER_SECOND", "Named", "SecretReads"]

PER_SECOND: Final = 100
"""Reads at most; those of 2,500 ManagedSecrets fit into a round."""
_AT_ONCE: Final = 8
_FOLLOW_EVERY: Final = 1.0
_TOO_LATE: Final = 60.0 - LATEST
_SAID_FOR: Final = 600.0
_LONGEST_PAUSE: Final = 10.0
_PASSING: Final = (errors.Unavailable, errors.Throttled, errors.Unauthorized)
"""Errors that a retry can pass; a missing right to read a Secret is reported by its ManagedSecret."""

_log = structlog.get_logger()


class Named(Protocol):
    """What is known of ManagedSecrets and of the Secrets that they name."""

    def managed_keys(self) -> Iterable[ObjectKey]:
        """Name the ManagedSecrets."""

    def secret_names(self, key: ObjectKey) -> Collection[str]:
        """Name the Secrets of one."""

    def secret(self, namespace: str, name: str) -> SecretMeta | None:
        """Return what is known of a Secret."""


class SecretReads:
    """Reads Secrets in turn, from the first time on that all of them were asked for."""

    def __init__(
        self,
        api: Api,
        named: Named,
        on_put: Callable[[SecretMeta], None],
        on_gone: Callable[[str, str], None],
    ) -> None:
        """Take callbacks that must not block, and can be told a thing twice."""
        self.synced = asyncio.Event()
        self.synced.set()  # nothing is asked for before it is known which ManagedSecrets there are
        self._api = api
        self._named = named
        self._on_put = on_put
        self._on_gone = on_gone
        self._rounds: Rounds[ObjectKey] = Rounds(attrgetter("namespace"), random.random)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._begun = asyncio.Event()
        self._followed = self._said = self._failed = float("-inf")
        self._failures = 0
        self._troubled: set[str] = set()
        """Namespaces in which something could not be read, until something can."""

    @property
    def last_alive(self) -> float:
        """The loop time: no read takes longer than its own limit, so that none hangs unseen."""
        return _now()

    async def fresh(self) -> None:
        """Read every Secret now, some at a time, and all of them in turn from then on.

        Who begins to act has to know every revision: restarts name those of all Secrets of a workload.
        """
        left = deque(self._named.managed_keys())
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._work_off(left))
        self._begun.set()

    async def run(self) -> None:
        """Read until cancelled, whatever the API server does."""
        await self._begun.wait()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._take_one(group)

    async def _work_off(self, left: deque[ObjectKey]) -> None:
        while left:
            key = left.popleft()
            if not await self._read(key, self._named.secret_names(key)):
                left.append(key)
                await self._pause()

    async def _take_one(self, group: asyncio.TaskGroup) -> None:
        now = _now()
        self._follow(now)
        key = self._rounds.take(now)
        if key is None:
            await asyncio.sleep(min(self._rounds.pause(now), _FOLLOW_EVERY))
            return
        self._tell_late(now)
        names = self._named.secret_names(key)
        await self._slots.acquire()
        group.create_task(self._in_turn(key, names))
        # Paced by what is asked for, so that the API server never gets a burst of reads.
        await asyncio.sleep(len(names) / PER_SECOND)
        if self._failures:
            await self._pause()

    async def _in_turn(self, key: ObjectKey, names: Collection[str]) -> None:
        try:
            if not await self._read(key, names):
                self._rounds.again(key, _now())
        finally:
            self._slots.release()

    def _follow(self, now: float) -> None:
        """Take in which ManagedSecrets there are, and forget the Secrets of those that are gone."""
        if now - self._followed < _FOLLOW_EVERY:
            return
        self._followed = now
        for key in self._rounds.follow(self._named.managed_keys(), now):
            for name in self._named.secret_names(key):
                known = self._named.secret(key.namespace, name)
                if known and known.owner == key.name:
                    self._on_gone(key.namespace, name)

    async def _read(self, key: ObjectKey, names: Collection[str]) -> bool:
        """Read the Secrets of one ManagedSecret; say whether that is done, or cannot be done."""
        try:
            for name in names:
                await self._look(key.namespace, name)
        except errors.ApiError as error:
            self._tell_trouble(key.namespace, error)
            is_passing = isinstance(error, _PASSING)
            if is_passing:
                self._failures, self._failed = self._failures + 1, _now()
            return not is_passing
        self._troubled.discard(key.namespace)
        self._failures = 0
        return True

    async def _look(self, namespace: str, name: str) -> None:
        before = self._named.secret(namespace, name)
        meta = None
        with suppress(errors.NotFound):
            meta = meta_of(await self._api.get(paths.secret(namespace, name), metadata_only=True))
        if meta and meta.owner:
            self._on_put(meta)
        elif before and self._named.secret(namespace, name) is before:  # and we have not written it meanwhile
            self._on_gone(namespace, name)

    async def _pause(self) -> None:
        longest = min(_LONGEST_PAUSE, 0.5 * 2.0 ** min(self._failures, 10))
        await asyncio.sleep(longest * random.uniform(0.2, 1.0))  # noqa: S311  # spreads, guards nothing

    def _tell_trouble(self, namespace: str, error: errors.ApiError) -> None:
        if namespace not in self._troubled:
            _log.warning("secrets not read", namespace=namespace, error=error)
        self._troubled.add(namespace)

    def _tell_late(self, now: float) -> None:
        """Log now and then that there is more than a round has time for; an API server that is away says less."""
        is_calm = now - self._failed > 2 * LATEST
        if self._rounds.late > _TOO_LATE and is_calm and now - self._said > _SAID_FOR:
            self._said = now
            _log.warning("secrets read late", by_seconds=round(self._rounds.late), per_second=PER_SECOND)


def _now() -> float:
    return asyncio.get_running_loop().time()
