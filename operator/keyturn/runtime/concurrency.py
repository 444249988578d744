"""Concurrency of asynchronous work: a limiter with a queue per key, and background tasks.

A limiter admits the names that wait in turn, and reserves some places for the first holder of each name, so that
one name cannot take all of them. A background task is referenced until it ends, and cancelled with the process.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from . import logs


class KeyedLimiter:
    """Limits concurrent holders per name and in total, with places reserved for the first holder of each name."""

    def __init__(self, each: int, everybody: int, *, firsts: int = 0) -> None:
        """`firsts` places beyond `everybody` are reserved for names without a holder."""
        self._each = each
        self._everybody = everybody
        self._firsts = firsts
        self._holders = 0
        self._holders_of: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Waiters by name, in round-robin order of the names."""

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Hold a place for `name` during the context."""
        await self.take(name)
        try:
            yield
        finally:
            self.release(name)

    async def take(self, name: str) -> None:
        """Wait for a place for `name`; release it with `release`."""
        if name not in self._waiting and self._has_room(name):
            self._enter(name)
            return
        called = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(called)
        try:
            await called
        except asyncio.CancelledError:
            self._abandon(name, called)
            raise

    def release(self, name: str) -> None:
        """Release a place of `name`, and admit the next waiters."""
        self._holders -= 1
        self._holders_of[name] -= 1
        if not self._holders_of[name]:
            del self._holders_of[name]
        self._admit()

    def waiting(self, name: str) -> int:
        """Return how many wait for a place for `name`."""
        return len(self._waiting.get(name, ()))

    def _has_room(self, name: str) -> bool:
        inside = self._holders_of[name]
        if not inside and self._holders < self._everybody + self._firsts:
            return True
        return inside < self._each and self._holders < self._everybody

    def _enter(self, name: str) -> None:
        self._holders += 1
        self._holders_of[name] += 1

    def _admit(self) -> None:
        # Names that are passed over are at their limit, or wait for a place that is not reserved.
        while name := next((name for name in self._waiting if self._has_room(name)), None):
            queue = self._waiting.pop(name)
            called = queue.popleft()
            if queue:
                self._waiting[name] = queue
            if not called.cancelled():
                called.set_result(None)
                self._enter(name)

    def _abandon(self, name: str, called: asyncio.Future[None]) -> None:
        if not called.cancelled():
            self.release(name)  # it was admitted and cancelled at the same moment
            return
        queue = self._waiting.get(name, deque())
        if called in queue:
            queue.remove(called)
        if not queue:
            self._waiting.pop(name, None)


T = TypeVar("T")

_log = structlog.get_logger()


class Tasks:
    """Set of background tasks; an error of one is logged."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._on_end)
        return task

    async def end(self, *, after: float = 0.0) -> None:
        """Wait up to `after` seconds for the tasks, then cancel them and wait for their end."""
        if after and self._running:
            await asyncio.wait(list(self._running), timeout=after)
        while running := list(self._running):
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    def _on_end(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("task failed", **logs.describe(error))
