"""Work of the shards that this process holds: admission to the work queue, and the handover of a shard.

A gained shard is admitted with all its objects, whose Secrets are read again. The work of a lost shard is ended, and
its objects are dropped from memory, as if the process had ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from keyturn.core.keys import (
    CLUSTER_DATABASE_TARGET,
    CLUSTER_SECRET_STORE,
    DATABASE_TARGET,
    SECRET_STORE,
    ObjectKey,
)
from keyturn.core.shards import shard_of
from keyturn.runtime import metrics

from .start import StartReads
from .workqueue import Priority

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import timedelta

    from keyturn.core.keys import StoreKey, TargetKey

    from .context import Context
    from .event_handlers import EventHandlers, Key
    from .managedsecret.memory import Memory
    from .managedsecret.restart_budget import RestartLimits
    from .workqueue import WorkQueue

__all__ = ["Shards"]

_log = structlog.get_logger()


class Shards:
    """The shards of this process: held ones by their Leases, and open ones, whose objects are reconciled."""

    def __init__(self, count: int, limits: RestartLimits) -> None:
        """`limits` are those of the whole cluster."""
        self.count = count
        self._limits = limits
        self._gained: set[int] = set()
        self._open: set[int] = set()
        self._news = asyncio.Event()
        self._has_lost = False
        self._reads: StartReads | None = None
        self.begun = asyncio.Event()
        """Set when the first shard is open."""

    def attach(
        self,
        context: Context,
        memory: Memory,
        handlers: EventHandlers,
        queue: WorkQueue[Key],
        lists: tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]],
        leave_at_rest: Callable[[], Awaitable[None]],
    ) -> None:
        """Set the parts whose work is begun and ended.

        `lists` are awaited before a shard is opened: the first after a loss only, it lists all objects again; the
        second always, it waits until Secrets are known. `leave_at_rest` takes unchanged objects out of the queue.
        """
        self._context, self._memory, self._handlers, self._queue = context, memory, handlers, queue
        self._list_objects, self._list_secrets = lists
        self._leave_at_rest = leave_at_rest
        context.stores.is_used = self._uses
        self._report()

    def of(self, key: Key) -> int:
        return shard_of(key.namespace, self.count)

    def is_open(self, key: Key) -> bool:
        """Whether this process reconciles an object; with one shard, keys are collected before it leads."""
        return self.count == 1 or self.of(key) in self._open

    # Handover

    def gain(self, shard: int) -> None:
        """Open a shard soon."""
        self._gained.add(shard)
        self._news.set()

    async def lose(self, shard: int, grace: timedelta) -> None:
        """Close a shard: no reconcile, background job or memory of it is left afterwards."""
        self._gained.discard(shard)
        self._open.discard(shard)
        self._has_lost |= not grace
        self._report()
        if self._reads is not None:
            self._reads.drop(lambda key: self.of(key) == shard)
        await self._queue.end(lambda key: self.of(key) == shard, grace)
        await self._memory.end(self._managed_in(shard))
        for key in self._context.cache.emergencies.known():
            if self.of(key) == shard:
                self._memory.emergencies.drop_record(key)
        self._memory.budget.drop(lambda workload: shard_of(workload.namespace, self.count) == shard)
        self._close_clients()
        if self.count > 1:
            _log.info("shard closed", shard=shard)

    def _close_clients(self) -> None:
        """Close the stores and targets that no open shard uses, whose checks never end.

        Operations at a target need no open client.
        """
        self._context.stores.forget_each(lambda key: not self._uses(key))
        self._context.databases.forget_each(lambda key: not self._uses(key))
        self._context.databases.pause_checks(lambda key: self.of(key) not in self._open)

    def _uses(self, key: StoreKey | TargetKey) -> bool:
        """Whether ManagedSecrets of an open shard may use it; those of any shard may use what is of the cluster."""
        return bool(self._open) and (key.is_for_all or self.of(key) in self._open)

    def close(self) -> None:
        """Report that the process leads no more: all work has ended."""
        self._open.clear()
        self._report()

    async def run(self) -> None:
        """Open gained shards, until cancelled."""
        async with asyncio.TaskGroup() as group:
            reading: asyncio.Task[None] | None = None
            while True:
                await self._news.wait()
                self._news.clear()
                await self._prepare(reading)
                # Nothing is awaited until these are open, so that none is lost unnoticed in between.
                shards, self._gained = self._gained, set()
                if shards:
                    reads = await self._begin(shards)
                    reading = group.create_task(reads.run())

    async def _prepare(self, reading: asyncio.Task[None] | None) -> None:
        """Refresh the cache as far as needed, and end the earlier reads, as long as a gained shard is still held."""
        await self._list_secrets()
        while self._gained and (self._has_lost or (reading and not reading.done())):
            if self._has_lost:
                self._has_lost = False  # this process was cut off or stopped, and its watches may be behind
                await self._list_objects()
            elif reading:
                # It returns what it holds to the work queue, where the next one finds it.
                reading.cancel()
                await asyncio.wait([reading])

    async def _begin(self, shards: set[int]) -> StartReads:
        """Admit the objects of shards to the work queue."""
        self._open |= shards
        self._context.since = self._context.now()
        rolling = self._context.cache.rolling_workloads()
        self._memory.budget.count_rolling(
            one for one in rolling if shard_of(one.namespace, self.count) in shards
        )
        self._report()
        _log.info("leading", **({"shards": sorted(self._open)} if self.count > 1 else {}))
        if self.count > 1:
            for key in self._keys():
                if self.of(key) in shards:
                    self._queue.add(key, Priority.BACKLOG)
        self._context.doubt_cache()
        await self._leave_at_rest()
        self._reads = reads = StartReads(self._context, self._memory, self._queue, self._handlers.namespaces)
        reads.hold()
        self.begun.set()
        return reads

    def _report(self) -> None:
        """Set the metrics, and the share of the restart budget."""
        metrics.SHARDS.set(self.count)
        metrics.SHARDS_HELD.set(len(self._open))
        metrics.LEADER.set(bool(self._open))
        self._memory.budget.limit(self._limits.share(len(self._open), self.count))

    # Objects

    def _keys(self) -> Iterator[Key]:
        """Yield all objects of the cache: what others need comes first."""
        cache = self._context.cache
        for name in cache.class_names():
            yield ObjectKey("", name)
        for kind in (CLUSTER_SECRET_STORE, SECRET_STORE):
            yield from cache.stores.keys(kind)
        for kind in (CLUSTER_DATABASE_TARGET, DATABASE_TARGET):
            yield from cache.targets.keys(kind)
        yield from cache.emergencies.known()
        yield from cache.managed_keys()

    def _managed_in(self, shard: int) -> list[ObjectKey]:
        return [key for key in self._context.cache.managed_keys() if self.of(key) == shard]
