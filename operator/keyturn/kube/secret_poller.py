"""Poller of Keyturn's Secrets by name, for an operator without permission to list Secrets.

Only metadata is sent. Every Secret that a ManagedSecret names is read once per round; decisions read theirs in
addition (`observe`), and each write returns the new metadata.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import deque
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from keyturn.core.times import backoff
from keyturn.runtime.clock import jittered, loop_time

from . import errors, paths
from .secret_informer import meta_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from keyturn.core.keys import ObjectKey

    from .client import Api
    from .secret_informer import SecretMeta

SOONEST: Final = 45.0
LATEST: Final = 55.0
"""Seconds between two reads of a key; the rest of a minute is for the answer and the repair."""
PER_SECOND: Final = 100
"""Maximum reads per second; 2,500 ManagedSecrets fit into a round."""
_CONCURRENCY: Final = 8
_FOLLOW_EVERY: Final = 1.0
_MAX_LATE: Final = 60.0 - LATEST
_LOG_INTERVAL: Final = 600.0
_MAX_DELAY: Final = 10.0
_PASSING: Final = (errors.Unavailable, errors.Throttled, errors.Unauthorized)
"""Errors that a retry can pass; a missing right to read a Secret is reported by its ManagedSecret."""

_log = structlog.get_logger()


class Named(Protocol):
    """The ManagedSecrets, the names of their Secrets, and known metadata, as the informer cache has them."""

    def managed_keys(self) -> Iterable[ObjectKey]:
        """Return the keys of the ManagedSecrets."""

    def secret_names(self, key: ObjectKey) -> Collection[str]:
        """Return the names of the Secrets of one ManagedSecret."""

    def secret(self, namespace: str, name: str) -> SecretMeta | None:
        """Return the known metadata of a Secret."""


class SecretPoller:
    """Poller; it starts after the first `fresh`."""

    def __init__(
        self,
        api: Api,
        named: Named,
        on_put: Callable[[SecretMeta], None],
        on_gone: Callable[[str, str], None],
    ) -> None:
        """The callbacks must not block, and may be called twice for one change."""
        self.synced = asyncio.Event()
        self.synced.set()  # no Secret is needed before the ManagedSecrets are listed
        self._api = api
        self._named = named
        self._on_put = on_put
        self._on_gone = on_gone
        self._rounds = Rounds(random.random)
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._begun = asyncio.Event()
        self._followed = self._logged = self._failed = float("-inf")
        self._failures = 0
        self._troubled: set[str] = set()
        """Namespaces with a failed read, until one succeeds."""

    @property
    def last_alive(self) -> float:
        """Now: each read has a timeout, so none hangs unnoticed."""
        return loop_time()

    def covers(self, namespace: str) -> bool:  # noqa: ARG002  # each decision reads its Secrets by name
        """Whether absence from the cache means something: as far as decisions need it, always."""
        return True

    async def fresh(self) -> None:
        """Read every Secret once, up to _CONCURRENCY at a time, and start the rounds.

        A new leader must know every revision, because restarts write those of all Secrets of a workload.
        """
        left = deque(self._named.managed_keys())
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONCURRENCY):
                group.create_task(self._drain(left))
        self._begun.set()

    async def run(self) -> None:
        """Poll until cancelled; errors are retried."""
        await self._begun.wait()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._start_next(group)

    async def _drain(self, left: deque[ObjectKey]) -> None:
        while left:
            key = left.popleft()
            if not await self._read(key, self._named.secret_names(key)):
                left.append(key)
                await self._pause()

    async def _start_next(self, group: asyncio.TaskGroup) -> None:
        now = loop_time()
        self._follow(now)
        key = self._rounds.take(now)
        if key is None:
            await asyncio.sleep(min(self._rounds.pause(now), _FOLLOW_EVERY))
            return
        self._log_late(now)
        names = self._named.secret_names(key)
        await self._slots.acquire()
        group.create_task(self._in_turn(key, names))
        # Paced by the number of reads, so the API server gets no bursts.
        await asyncio.sleep(len(names) / PER_SECOND)
        if self._failures:
            await self._pause()

    async def _in_turn(self, key: ObjectKey, names: Collection[str]) -> None:
        try:
            if not await self._read(key, names):
                self._rounds.again(key, loop_time())
        finally:
            self._slots.release()

    def _follow(self, now: float) -> None:
        """Update the keys of the rounds, and drop the Secrets of removed ManagedSecrets."""
        if now - self._followed < _FOLLOW_EVERY:
            return
        self._followed = now
        for key in self._rounds.follow(self._named.managed_keys(), now):
            for name in self._named.secret_names(key):
                known = self._named.secret(key.namespace, name)
                if known and known.owner == key.name:
                    self._on_gone(key.namespace, name)

    async def _read(self, key: ObjectKey, names: Collection[str]) -> bool:
        """Read the Secrets of one ManagedSecret; return False if the read must be retried."""
        try:
            for name in names:
                await self._read_one(key.namespace, name)
        except errors.ApiError as error:
            self._log_failure(key.namespace, error)
            is_passing = isinstance(error, _PASSING)
            if is_passing:
                self._failures, self._failed = self._failures + 1, loop_time()
            return not is_passing
        self._troubled.discard(key.namespace)
        self._failures = 0
        return True

    async def _read_one(self, namespace: str, name: str) -> None:
        before = self._named.secret(namespace, name)
        meta = None
        with suppress(errors.NotFound):
            meta = meta_of(await self._api.get(paths.secret(namespace, name), metadata_only=True))
        if meta and meta.owner:
            self._on_put(meta)
        elif before and self._named.secret(namespace, name) is before:  # and no own write came meanwhile
            self._on_gone(namespace, name)

    async def _pause(self) -> None:
        await asyncio.sleep(jittered(backoff(0.5, self._failures + 1, _MAX_DELAY), least=0.2))

    def _log_failure(self, namespace: str, error: errors.ApiError) -> None:
        if namespace not in self._troubled:
            _log.warning("secrets not read", namespace=namespace, error=error)
        self._troubled.add(namespace)

    def _log_late(self, now: float) -> None:
        """Log occasionally that there are more Secrets than a round has time for, unless the API server fails."""
        is_calm = now - self._failed > 2 * LATEST
        if self._rounds.late > _MAX_LATE and is_calm and now - self._logged > _LOG_INTERVAL:
            self._logged = now
            _log.warning("secrets read late", by_seconds=round(self._rounds.late), per_second=PER_SECOND)


class Rounds:
    """Schedule of the reads: each key once per round, round-robin over namespaces.

    The length of a round is random per key, so bursts spread out. A namespace with more keys than fit into a round is
    read late without delaying others.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        """`chance` returns a random number from 0 to 1; the caller also provides the time."""
        self.late = 0.0
        """Seconds by which the last key was late."""
        self._chance = chance
        self._due: dict[ObjectKey, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, ObjectKey]] = []
        self._ready: dict[str, deque[tuple[float, int, ObjectKey]]] = {}
        """Due entries by namespace, in round-robin order of the namespaces."""
        self._order = itertools.count()

    def follow(self, keys: Iterable[ObjectKey], now: float) -> set[ObjectKey]:
        """Set the keys that exist; return the removed ones. A new key is due within a round."""
        current = set(keys)
        gone = self._due.keys() - current
        for key in gone:
            del self._due[key]
        for key in current - self._due.keys():
            self._put(key, now + LATEST * self._chance())
        return gone

    def take(self, now: float) -> ObjectKey | None:
        """Return the key to read now and schedule its next read; None if none is due."""
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            self._ready.setdefault(entry[2].namespace, deque()).append(entry)
        while self._ready:
            namespace = next(iter(self._ready))
            queue = self._ready.pop(namespace)
            entry = queue.popleft()
            if queue:
                self._ready[namespace] = queue
            if self._holds(entry):
                due, _, key = entry
                self.late = now - due
                self._put(key, now + SOONEST + (LATEST - SOONEST) * self._chance())
                return key
        return None

    def again(self, key: ObjectKey, now: float) -> None:
        """Make a key due at the next turn of its namespace, because it could not be read."""
        if key in self._due:
            self._put(key, now)

    def pause(self, now: float) -> float:
        """Return the seconds until a key is due; infinite without keys."""
        if self._ready:
            return 0.0
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return max(self._heap[0][0] - now, 0.0) if self._heap else inf

    def _holds(self, entry: tuple[float, int, ObjectKey]) -> bool:
        """Whether an entry is still the current one of its key."""
        return self._due.get(entry[2]) == entry[:2]

    def _put(self, key: ObjectKey, due: float) -> None:
        entry = (due, next(self._order))
        self._due[key] = entry
        heapq.heappush(self._heap, (*entry, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            waiting = {scheduled[1] for queue in self._ready.values() for scheduled in queue}
            self._heap = [
                (*scheduled, key) for key, scheduled in self._due.items() if scheduled[1] not in waiting
            ]
            heapq.heapify(self._heap)
