"""Which key is worked on next: each once at a time, as soon as it is added or due, and of each owner one in turn."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import heapq
import itertools
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import structlog

from keyturn.runtime import logs, metrics

from .fair_queue import FairQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterator

__all__ = ["Priority", "WorkQueue"]

K = TypeVar("K", bound="Hashable")
Work: TypeAlias = "Callable[[K], Awaitable[datetime | None]]"

_log = structlog.get_logger()

# Wall clocks are set, and machines sleep: no sleep may rest on a clock that was read long ago.
_LONGEST_SLEEP = timedelta(minutes=1)
_LONGEST_BACKOFF = timedelta(minutes=5)
_BACKLOG_EVERY = 8
_LEFT_TO_OTHERS = 8
"""One worker in as many, and at least one where there are two, that no single owner gets."""


class Priority(enum.Enum):
    """What is worked on first."""

    FRESH = enum.auto()
    """Something has just changed that people wait for."""
    BACKLOG = enum.auto()
    """What can wait a little: all that is there at start-up, and pods that are a step further."""


class WorkQueue(Generic[K]):
    """Hands keys to `work`, never one key twice at the same time; a key added meanwhile comes up again.

    All methods belong to the event loop's thread.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
        owner: Callable[[K], str] = lambda _: "",
    ) -> None:
        """Take `owner` as what names whose work a key is: owners take turns, and no one alone has all workers.

        The owner "" may have them all.
        """
        self._owner = owner
        self._now = now
        self._chance = chance
        self._lanes: dict[Priority, FairQueue[K]] = {priority: FairQueue() for priority in Priority}
        self._waiting: dict[K, Priority] = {}
        self._working: set[K] = set()
        self._busy: Counter[str] = Counter()
        self._again: dict[K, Priority] = {}
        self._failures: dict[K, int] = {}
        self._turns = 0
        self._due: _DueTimes[K] = _DueTimes()
        self._wake = asyncio.Event()

    @property
    def depth(self) -> int:
        """How many keys wait to be worked on now; those that are due later do not count."""
        return len(self._waiting)

    def add(self, key: K, priority: Priority = Priority.FRESH) -> None:
        """Have `key` worked on as soon as possible, and after what is being done with it now."""
        known = self._again if key in self._working else self._waiting
        if known.get(key) in {priority, Priority.FRESH}:
            return
        known[key] = priority
        if known is self._waiting:
            self._lanes[priority].append(self._owner(key), key)
            self._wake.set()

    def add_at(self, key: K, when: datetime) -> None:
        """Have `key` worked on at `when`, whatever was said of it before; in the past means now."""
        self._due.put(key, when)
        self._wake.set()

    def forget(self, key: K) -> None:
        """Drop all that is planned for `key`; what is being done with it goes on."""
        self._waiting.pop(key, None)
        self._again.pop(key, None)
        self._failures.pop(key, None)
        self._due.drop(key)

    async def run(
        self,
        work: Work[K],
        *,
        workers: int = 16,
        gate: asyncio.Event | None = None,
        grace: timedelta = timedelta(seconds=10),
    ) -> None:
        """Work on keys until cancelled, while `gate` is set; then let begun work finish within `grace`.

        `work` returns when its key is due next, or None; if it raises, the key comes up after a backoff.
        """
        async with asyncio.TaskGroup() as group:
            try:
                await self._dispatch(group, work, workers, gate)
            except asyncio.CancelledError:
                await self._drain(grace)
                raise

    async def _dispatch(
        self, group: asyncio.TaskGroup, work: Work[K], workers: int, gate: asyncio.Event | None
    ) -> None:
        while True:
            if gate is not None:
                await gate.wait()
            self._wake.clear()
            for due in self._due.pop(self._now()):
                self.add(due)
            most = max(workers - max(workers // _LEFT_TO_OTHERS, 1), 1)
            while self._waiting and len(self._working) < workers:
                if (key := self._take(most)) is None:
                    break
                group.create_task(self._work_on(key, work))
            await self._pause()

    def _take(self, most: int) -> K | None:
        """Take the next key of an owner who has less than `most` workers, if there is one.

        Now and then the backlog is served first, so that a long rush of news does not stop it.
        """
        self._turns += 1
        lanes = list(self._lanes.items())
        for priority, lane in lanes if self._turns % _BACKLOG_EVERY else reversed(lanes):
            while (key := lane.take(lambda owner: not owner or self._busy[owner] < most)) is not None:
                if self._waiting.get(key) is not priority:
                    continue  # it was promoted or forgotten since
                del self._waiting[key]
                self._due.drop(key)
                self._working.add(key)
                self._busy[self._owner(key)] += 1
                return key
        return None

    def _leave(self, key: K) -> None:
        self._working.discard(key)
        owner = self._owner(key)
        self._busy[owner] -= 1
        if not self._busy[owner]:
            del self._busy[owner]

    async def _work_on(self, key: K, work: Work[K]) -> None:
        try:
            due = await self._attempt(key, work)
        finally:
            self._leave(key)
            self._wake.set()
        # What was said of the key while it was worked on may be news that the work had not seen.
        if due is not None and not self._due.is_before(key, due):
            self._due.put(key, due)
        if key in self._again:
            self.add(key, self._again.pop(key))

    async def _attempt(self, key: K, work: Work[K]) -> datetime | None:
        try:
            due = await work(key)
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            return self._now() + self._backoff(key, error)
        self._failures.pop(key, None)
        return due

    def _backoff(self, key: K, error: BaseException) -> timedelta:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        # Half of it is chance, so that what failed together does not come back together.
        longest = min(_LONGEST_BACKOFF, timedelta(seconds=2.0 ** min(failures, 16)))
        backoff = longest * (1 + self._chance()) / 2
        metrics.WORK_FAILED.inc()
        _log.error(
            "work failed",
            key=str(key),
            failures=failures,
            again_in=round(backoff.total_seconds(), 1),
            **logs.describe(error),
        )
        return backoff

    async def _pause(self) -> None:
        earliest = self._due.earliest()
        sleep = _LONGEST_SLEEP if earliest is None else min(earliest - self._now(), _LONGEST_SLEEP)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(sleep.total_seconds()):
                await self._wake.wait()

    async def _drain(self, grace: timedelta) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace.total_seconds()):
                while self._working:
                    self._wake.clear()
                    await self._wake.wait()


def _is_cancelled() -> bool:
    """Whether somebody ends this task, which an error out of a library that cancels itself does not mean."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _DueTimes(Generic[K]):
    """One heap for all keys; an entry that was replaced stays in it until it comes up."""

    def __init__(self) -> None:
        self._entries: dict[K, tuple[datetime, int, K]] = {}
        self._heap: list[tuple[datetime, int, K]] = []
        self._order = itertools.count()

    def put(self, key: K, when: datetime) -> None:
        self._entries[key] = entry = (when, next(self._order), key)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        self._entries.pop(key, None)

    def is_before(self, key: K, when: datetime) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry[0] < when

    def earliest(self) -> datetime | None:
        while self._heap and self._entries.get(self._heap[0][2]) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: datetime) -> Iterator[K]:
        while (when := self.earliest()) is not None and when <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._entries[key]
            yield key
