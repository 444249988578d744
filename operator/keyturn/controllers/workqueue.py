"""Work queue with delays, back-off, priorities and fairness; a key is never processed twice at the same time.

`FairQueue` decides which key is next when several owners share workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import heapq
import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

import structlog

from keyturn.core.times import backoff
from keyturn.kube import errors, paths
from keyturn.runtime import logs, metrics
from keyturn.runtime.clock import jittered, loop_time

K = TypeVar("K", bound="Hashable")

_LEAD: Final = 4
"""Rounds, of one key per owner with work, that a new or idle owner is ahead: a new Secret takes a few passes."""


class FairQueue(Generic[K]):
    """Start-time fair queue; the keys of one owner stay in the order of their addition.

    Keys have equal length (Goyal, Vin, Cheng, SIGCOMM 1996): an owner's next key has a start tag one above that of
    its last, and the lowest start tag is next. An owner without keys keeps a lead of `_LEAD` rounds, so that a first
    Secret does not wait for a round of all owners with work.
    """

    def __init__(self) -> None:
        self._of: dict[str, deque[K]] = {}
        self._starts: list[tuple[int, int, str]] = []
        """A heap with the start tag of each owner with keys, and the order among equal tags."""
        self._order = itertools.count()
        self._now = 0
        """Virtual time: the highest start tag that was taken."""
        self._next: dict[str, int] = {}
        """The lowest start tag of the next key, by owner."""
        self._most = 64
        """Number of tags above which those of idle owners are dropped."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, owner: str, key: K) -> None:
        keys = self._of.get(owner)
        if keys is None:
            keys = self._of[owner] = deque()
            self._push(owner, max(self._next.get(owner, self._earliest), self._earliest))
        keys.append(key)
        self._size += 1

    def keep(self, is_wanted: Callable[[K], bool]) -> None:
        """Drop the keys for which `is_wanted` is false, and all but the first of each."""
        kept = {
            owner: deque(dict.fromkeys(filter(is_wanted, entries))) for owner, entries in self._of.items()
        }
        self._of = {owner: keys for owner, keys in kept.items() if keys}
        self._starts = [entry for entry in self._starts if entry[2] in self._of]
        heapq.heapify(self._starts)
        self._size = sum(map(len, self._of.values()))

    def take(self, may: Callable[[str], bool]) -> K | None:
        """Remove and return the next key of the first owner for which `may` is true."""
        passed_over = []
        key = None
        while self._starts and key is None:
            start, _, owner = entry = heapq.heappop(self._starts)
            if may(owner):
                key = self._take_of(owner, start)
            else:
                passed_over.append(entry)
        for entry in passed_over:
            heapq.heappush(self._starts, entry)
        return key

    @property
    def _earliest(self) -> int:
        return self._now - _LEAD

    def _take_of(self, owner: str, start: int) -> K:
        keys = self._of[owner]
        key = keys.popleft()
        self._size -= 1
        self._now = max(self._now, start)
        self._next[owner] = start + 1
        if keys:
            self._push(owner, start + 1)
        else:
            del self._of[owner]
            if len(self._next) > self._most:  # drop owners that were idle long enough to start like new ones
                self._next = {one: tag for one, tag in self._next.items() if tag > self._earliest}
                self._most = 2 * len(self._next) + 64
        return key

    def _push(self, owner: str, start: int) -> None:
        heapq.heappush(self._starts, (start, next(self._order), owner))


C = TypeVar("C", datetime, float)
Work: TypeAlias = "Callable[[K], Awaitable[datetime | None]]"

_log = structlog.get_logger()

# Clocks are set and machines suspend, so no sleep is longer than this.
_MAX_SLEEP = 60.0
_MIN_BACKOFF = timedelta(seconds=2)
_MAX_BACKOFF = timedelta(minutes=5)
_BACKLOG_EVERY = 8
_RESERVED_SHARE = 8
"""One worker in eight, and at least one of two, is not available to a single owner."""
_SHARED_PART = 4
"""An owner gets one worker in four while others have work, because each write of one delays those of all others."""
_SHARED_SECONDS = 5.0
"""How long that lasts after the work of another owner began."""


class Priority(enum.Enum):
    """Which keys are first."""

    FRESH = enum.auto()
    """A change that a user waits for."""
    BACKLOG = enum.auto()
    """All objects at the start, and progress of rollouts."""


class WorkQueue(Generic[K]):
    """Passes keys to `work`, each to one worker at a time; a key that is added meanwhile is processed again.

    Not thread-safe: all methods belong to the event loop's thread.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        owner: Callable[[K], str] = lambda _: "",
    ) -> None:
        """`owner` maps a key to its tenant; the owner "" gets all workers.

        Each other owner gets at most 7/8 of the workers, and a quarter while several have work.
        """
        self._owner = owner
        self._now = now
        self.chance: Callable[[], float] = random.random
        """Returns a random number from 0 to 1, for the jitter of back-offs."""
        self._lanes: dict[Priority, FairQueue[K]] = {priority: FairQueue() for priority in Priority}
        self._waiting: dict[K, Priority] = {}
        self._working: dict[K, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()
        self._sharing = _Sharing()
        self._again: dict[K, Priority] = {}
        self._failures: dict[K, int] = {}
        self._turns = 0
        self._due: _DueTimes[K] = _DueTimes()
        self._wake = asyncio.Event()
        self._runs = False

    @property
    def depth(self) -> int:
        """Number of keys that are ready; delayed keys do not count."""
        return len(self._waiting)

    def add(self, key: K, priority: Priority = Priority.FRESH) -> None:
        """Add a key; if it is being processed, it is processed again afterwards."""
        known = self._again if key in self._working else self._waiting
        if known.get(key) in {priority, Priority.FRESH}:
            return
        known[key] = priority
        if known is self._waiting:
            self._lanes[priority].append(self._owner(key), key)
            self._trim()
            self._wake.set()

    def add_last(self, key: K) -> None:
        """Add a key whose object is gone, which ends its work; before the queue runs there is none."""
        if self._runs:
            self.add(key)
        else:
            self.forget(key)

    def put(self, key: K, due: datetime) -> None:
        """Add a key at a time, instead of at the time that its last work returned."""
        self._due.put(key, due, self._now())
        self._wake.set()

    def ready(self) -> list[K]:
        """Return the keys that are ready."""
        return list(self._waiting)

    def withdraw(self, is_wanted: Callable[[K], bool]) -> set[K]:
        """Remove and return the ready keys for which `is_wanted` is true."""
        withdrawn = {key for key in self._waiting if is_wanted(key)}
        for key in withdrawn:
            del self._waiting[key]
        self._trim()
        return withdrawn

    def forget(self, key: K) -> None:
        """Remove a key; processing in progress continues."""
        if self._waiting.pop(key, None) is not None:
            self._trim()
        self._again.pop(key, None)
        self._failures.pop(key, None)
        self._due.drop(key)

    def _trim(self) -> None:
        """Drop entries of keys that were removed or promoted, once most entries of a lane are such ones."""
        most = 2 * len(self._waiting) + 64
        for priority, lane in self._lanes.items():
            if len(lane) > most:
                lane.keep(partial(self._is_in, priority))

    def _is_in(self, priority: Priority, key: K) -> bool:
        return self._waiting.get(key) is priority

    async def run(self, work: Work[K], *, workers: int, grace: timedelta = timedelta(seconds=10)) -> None:
        """Process keys until cancelled; then wait up to `grace` for work in progress.

        `work` returns when its key is due next, or None. After an exception the key is retried with exponential
        back-off, and so is one that was due before its work began: that would be repeated at once, without end.
        """
        self._runs = True
        async with asyncio.TaskGroup() as group:
            try:
                await self._dispatch(group, work, workers)
            except asyncio.CancelledError:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace.total_seconds()):
                        while self._working:
                            self._wake.clear()
                            await self._wake.wait()
                raise

    async def _dispatch(self, group: asyncio.TaskGroup, work: Work[K], workers: int) -> None:
        while True:
            self._wake.clear()
            for due in self._due.pop(self._now()):
                self.add(due)
            while self._waiting and len(self._working) < workers:
                if (key := self._take(self._most(workers))) is None:
                    break
                self._working[key] = group.create_task(self._work_on(key, work))
                self._busy[self._owner(key)] += 1
                self._sharing.note(self._owner(key))
            await self._pause()

    def _most(self, workers: int) -> int:
        """Return how many workers one owner may have."""
        if self._sharing.is_on():
            return max(workers // _SHARED_PART, 1)
        return max(workers - max(workers // _RESERVED_SHARE, 1), 1)

    def _take(self, most: int) -> K | None:
        """Return the next key of an owner with fewer than `most` workers, if there is one.

        Every eighth time the backlog is first, so that a burst of changes does not starve it.
        """
        self._turns += 1
        lanes = list(self._lanes.items())
        for priority, lane in lanes if self._turns % _BACKLOG_EVERY else reversed(lanes):
            while (key := lane.take(lambda owner: not owner or self._busy[owner] < most)) is not None:
                if self._waiting.get(key) is not priority:
                    continue  # promoted or removed meanwhile
                del self._waiting[key]
                self._due.drop(key)
                return key
        return None

    async def _work_on(self, key: K, work: Work[K]) -> None:
        began, started = self._now(), loop_time()
        try:
            due = await self._attempt(key, work, began, started)
        finally:
            del self._working[key]
            self._busy -= Counter({self._owner(key): 1})  # without owners at 0
            self._wake.set()
        if due is not None:
            # If the clock was set back meanwhile, the due time may be by the earlier time.
            self._due.put(key, due, max(self._now(), began + timedelta(seconds=loop_time() - started)))
        if key in self._again:
            self.add(key, self._again.pop(key))

    async def _attempt(self, key: K, work: Work[K], began: datetime, started: float) -> datetime | None:
        try:
            due = await work(key)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task and task.cancelling():  # from outside; a library may raise CancelledError of its own
                raise
            return self._now() + self._backoff(key, error)
        # If the clock was set back meanwhile, the work began earlier by the new time.
        began = min(began, self._now() - timedelta(seconds=loop_time() - started))
        if due is not None and due < began:
            pause, facts = self._failed(key)
            metrics.WORK_FAILED.inc()
            seconds = round((began - due).total_seconds(), 1)
            _log.error(
                "reconcile is due in the past", **facts, due_seconds_ago=seconds
            )  # a defect of its work
            return self._now() + pause
        self._failures.pop(key, None)
        return due

    def _failed(self, key: K) -> tuple[timedelta, dict[str, Any]]:
        """Count a failure; return the pause after it, and what is logged of it."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        # Half of the back-off is jitter, so that keys that failed together do not return together.
        longest = backoff(_MIN_BACKOFF, failures, _MAX_BACKOFF)
        pause = timedelta(seconds=jittered(longest.total_seconds(), chance=self.chance))
        return pause, {
            "key": str(key),
            "failures": failures,
            "retry_after_seconds": round(pause.total_seconds(), 1),
        }

    def _backoff(self, key: K, error: BaseException) -> timedelta:
        pause, facts = self._failed(key)
        if isinstance(error, errors.Forbidden):  # lost rights are no defect
            _log.warning("reconcile forbidden", **facts, verb=error.verb, resource=paths.resource(error.path))
            return pause
        if isinstance(error, errors.NotLeading):  # the process ends its work, or its Lease is renewed late
            _log.info("reconcile interrupted", **facts)
            return pause
        if isinstance(error, errors.Unavailable | errors.Throttled | errors.Unauthorized):
            _log.warning("reconcile not answered", **facts, error=error)
            return pause
        metrics.WORK_FAILED.inc()
        _log.error("reconcile failed", **facts, **logs.describe(error))
        return pause

    async def _pause(self) -> None:
        longest = min(self._due.seconds_left(self._now()), _MAX_SLEEP)
        if self._waiting and self._sharing.is_on():  # its end makes idle workers available
            longest = min(longest, self._sharing.seconds_left())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._wake.wait()


class _Sharing:
    """Whether work of more than one owner began lately."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._until = -math.inf

    def note(self, owner: str) -> None:
        """Note that work of an owner begins."""
        if not owner or owner == self._last:
            return
        if self._last is not None:
            self._until = loop_time() + _SHARED_SECONDS
        self._last = owner

    def is_on(self) -> bool:
        return self.seconds_left() > 0

    def seconds_left(self) -> float:
        return self._until - loop_time()


class _DueTimes(Generic[K]):
    """Times by the clock, and the pauses until then by the event loop's time: a key is due at the first end of both.

    So a clock that is set back delays nothing. One heap of each for all keys; a dropped entry stays in them until it
    is due, or until most entries are dropped.
    """

    def __init__(self) -> None:
        self._entries: dict[K, int] = {}
        self._times: list[tuple[datetime, int, K]] = []
        self._pauses: list[tuple[float, int, K]] = []
        self._order = itertools.count()

    def put(self, key: K, when: datetime, now: datetime) -> None:
        order = self._entries[key] = next(self._order)
        self._push(self._times, when, order, key)
        self._push(self._pauses, loop_time() + (when - now).total_seconds(), order, key)

    def _push(self, heap: list[tuple[C, int, K]], end: C, order: int, key: K) -> None:
        heapq.heappush(heap, (end, order, key))
        if len(heap) > 2 * len(self._entries) + 64:
            heap[:] = [entry for entry in heap if self._entries.get(entry[2]) == entry[1]]
            heapq.heapify(heap)

    def drop(self, key: K) -> None:
        self._entries.pop(key, None)

    def seconds_left(self, now: datetime) -> float:
        """Return how long no key is due; infinite without keys."""
        when, end = self._first(self._times), self._first(self._pauses)
        if when is None or end is None:
            return math.inf
        return min((when - now).total_seconds(), end - loop_time())

    def _first(self, heap: list[tuple[C, int, K]]) -> C | None:
        while heap and self._entries.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now: datetime) -> list[K]:
        """Remove and return the keys that are due."""
        return [*self._pop(self._times, now), *self._pop(self._pauses, loop_time())]

    def _pop(self, heap: list[tuple[C, int, K]], now: C) -> Iterator[K]:
        while (end := self._first(heap)) is not None and end <= now:
            _, _, key = heapq.heappop(heap)
            del self._entries[key]
            yield key
