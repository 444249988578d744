"""Poller of Keyturn's Secrets by name, for an operator without permission to list Secrets.

Only metadata is sent. Every Secret that a ManagedSecret names is read once per round; decisions read theirs in
addition (`observe`), and each write returns the new metadata.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Final, Protocol

import structlog

from keyturn.core.keys import ObjectKey
from keyturn.core.times import backoff
from keyturn.runtime.clock import jittered, loop_time
from keyturn.runtime.concurrency import KeyedLimiter

from . import errors, paths
from .client import Api
from .secret_informer import SecretMeta, meta_of

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
        self._turns = KeyedLimiter(1, 1)
        """Namespaces take turns: one with more Secrets than a round has time for delays no other."""
        self._slots = asyncio.Semaphore(_CONCURRENCY)
        self._begun = asyncio.Event()
        self._logged = self._failed = float("-inf")
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
        """Poll until cancelled, each ManagedSecret in a task of its own; errors are retried."""
        await self._begun.wait()
        polled: dict[ObjectKey, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                keys = set(self._named.managed_keys())
                for key in polled.keys() - keys:
                    polled.pop(key).cancel()
                    self._drop_secrets(key)
                polled |= {key: group.create_task(self._poll(key)) for key in keys - polled.keys()}
                await asyncio.sleep(_FOLLOW_EVERY)

    async def _poll(self, key: ObjectKey) -> None:
        """Read the Secrets of one ManagedSecret once per round, whose length is random so that bursts spread out."""
        due = loop_time() + LATEST * random.random()  # noqa: S311 - it spreads the requests
        while True:
            await asyncio.sleep(due - loop_time())
            async with self._turns.hold(key.namespace):
                self._log_late(loop_time(), due)
                names = self._named.secret_names(key)
                # Paced by the number of reads, so the API server gets no bursts.
                await asyncio.sleep(len(names) / PER_SECOND)
                if self._failures:
                    await self._pause()
            async with self._slots:
                is_read = await self._read(key, names)
            due = loop_time() + (random.uniform(SOONEST, LATEST) if is_read else 0.0)  # noqa: S311

    async def _drain(self, left: deque[ObjectKey]) -> None:
        while left:
            key = left.popleft()
            if not await self._read(key, self._named.secret_names(key)):
                left.append(key)
                await self._pause()

    def _drop_secrets(self, key: ObjectKey) -> None:
        """Drop the Secrets of a removed ManagedSecret."""
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
            if key.namespace not in self._troubled:
                _log.warning("secrets not read", namespace=key.namespace, error=error)
            self._troubled.add(key.namespace)
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

    def _log_late(self, now: float, due: float) -> None:
        """Log occasionally that there are more Secrets than a round has time for, unless the API server fails."""
        is_calm = now - self._failed > 2 * LATEST
        if now - due > _MAX_LATE and is_calm and now - self._logged > _LOG_INTERVAL:
            self._logged = now
            _log.warning("secrets read late", by_seconds=round(now - due), per_second=PER_SECOND)
