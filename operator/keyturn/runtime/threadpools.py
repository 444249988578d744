"""Thread pools for blocking work: one job per tenant at a time; the operator has its own pool.

Tenants share a few threads, and the tenant with the least recent usage is next. Work that takes long, such as large
keys, has separate threads. A job that exceeds its limit cannot be stopped, but is no longer waited for: a spare
thread replaces its own, and after three such jobs in a row its tenant is suspended for 10 minutes. The end of the
process does not wait for jobs either. The event loop has priority over computing threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import itertools
import logging
import math
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, Generic, NoReturn, ParamSpec, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from keyturn.core.errors import Wait
from keyturn.core.reasons import ErrorReason

from .clock import loop_time

_SWITCH_SECONDS: Final = 0.0005
_NICE_STEPS: Final = 5
"""Linux gives a thread 5 steps below another about a third of its share of a busy processor: 1.25 ** 5 is 3.05."""
_LOWEST: Final = 19


def favour_event_loop() -> None:
    """Shorten the switch interval of the interpreter lock to a tenth of Python's default, 0.5 ms.

    Each step of the loop waits for the lock, and a watch event takes several steps.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)


def yield_processor() -> None:
    """Raise this thread's nice value by 5 (setpriority(2), which Linux applies to threads).

    For work without the interpreter lock, such as a key of 8,192 bits, which takes seconds of processor time. A
    thread that waits for a processor while it holds the lock would block the loop. The difference is bounded, because
    at the lowest priority a thread gets 1/68 of the share of any other process: a key of one second takes minutes on
    a busy machine, and exceeds its time limit.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox that forbids the call must not prevent keys
            lowered = os.getpriority(os.PRIO_PROCESS, thread) + _NICE_STEPS
            os.setpriority(os.PRIO_PROCESS, thread, min(lowered, _LOWEST))


P = ParamSpec("P")
T = TypeVar("T")

_STRIKES: Final = 3
_PENALTY: Final = timedelta(minutes=10)
_RETRY_DELAY: Final = timedelta(seconds=30)
_HALF_LIFE: Final = 30.0
"""Half-life in seconds of the recorded usage."""
_MAX_OWNERS: Final = 1024
_SPARE_THREADS: Final = 6
"""Spare threads that replace those with a job over its limit."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Thread pool for jobs of one duration."""

    at_once: int
    seconds: float
    """Maximum duration of a job."""
    pool: ThreadPoolExecutor


_OURS: Final = ThreadPoolExecutor(2, "ours")
# Each of these threads may hold the memory of one template; see keyturn.templates.filters.
_QUICK: Final = _Kind(3, 20.0, ThreadPoolExecutor(3 + _SPARE_THREADS, "tenants"))
_LONG: Final = _Kind(2, 180.0, ThreadPoolExecutor(2 + _SPARE_THREADS, "keys", yield_processor))
_WAITING: Final = ThreadPoolExecutor(64, "servers")
_jobs: Final[set[Future[Any]]] = set()
"""Jobs that have not ended."""


class TookTooLong(Wait):
    """A job of a tenant exceeds its limit, or its tenant is suspended because earlier jobs did."""


async def run_own(doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run work of the operator itself in a thread."""
    return await asyncio.wrap_future(_submit(_OURS, _call(doing, *args, **named)))


async def run_waiting(doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run a call that waits for a server in a thread; the caller limits its time, and ends it."""
    return await asyncio.wrap_future(_submit(_WAITING, _call(doing, *args, **named)))


async def run_for_tenant(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run work of the tenant `owner` in a thread, one job at a time; other tenants are not delayed.

    Raises:
        TookTooLong: It exceeds 20 s, or the owner is suspended.
    """
    return await _tenant_pool().run(owner, _QUICK, _call(doing, *args, **named))


async def run_long(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run work that takes seconds by nature, such as a search for large primes; otherwise as `run_for_tenant`.

    Raises:
        TookTooLong: It exceeds 180 s, or the owner is suspended.
    """
    return await _tenant_pool().run(owner, _LONG, _call(doing, *args, **named))


def end_process(code: int) -> NoReturn:
    """End the process without waiting for jobs: Python waits for their threads, a large key for up to 180 s.

    Raises:
        SystemExit: No job is running, so that Python ends it.
    """
    if _jobs:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _submit(pool: ThreadPoolExecutor, call: Callable[[], T]) -> Future[T]:
    job = pool.submit(call)
    _jobs.add(job)
    job.add_done_callback(_jobs.discard)
    return job


def _call(doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> Callable[[], T]:
    return partial(contextvars.copy_context().run, partial(doing, *args, **named))


# Fair queue over tenants.


@dataclass(slots=True)
class _Owner:
    """Recent usage of one tenant."""

    turns: defaultdict[ThreadPoolExecutor, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )
    """One lock per pool, so small jobs do not wait for the owner's own large keys."""
    used: float = 0.0
    """Thread seconds used, decaying with _HALF_LIFE."""
    at: float = 0.0
    strikes: int = 0
    """Jobs in a row that exceeded their limit."""
    overdue: int = 0
    """Jobs over their limit that have not ended yet."""
    waits_until: float = 0.0

    def used_by(self, now: float) -> float:
        return self.used * math.exp2((self.at - now) / _HALF_LIFE)

    def has_used(self, seconds: float, now: float) -> None:
        self.used, self.at = self.used_by(now) + seconds, now

    @property
    def rank(self) -> float:
        """Order of tenants by usage, lowest first.

        It does not change while they wait, because usage decays alike.
        """
        return math.log2(self.used) + self.at / _HALF_LIFE if self.used else -math.inf

    def strike(self, now: float) -> None:
        """Record a job over its limit; the third in a row suspends the owner."""
        self.strikes += 1
        if self.strikes >= _STRIKES:
            self.strikes, self.waits_until = 0, now + _PENALTY.total_seconds()

    def is_idle(self, now: float) -> bool:
        is_busy = any(turn.locked() for turn in self.turns.values())
        at_rest = not (is_busy or self.strikes or self.overdue or self.waits_until > now)
        return at_rest and self.used_by(now) < 0.01  # noqa: PLR2004  # ten milliseconds delay no job


_Turn: TypeAlias = "tuple[float, int, asyncio.Future[None]]"


@dataclass(slots=True)
class _Line:
    """Waiters for threads of one pool."""

    free: int
    waiting: list[_Turn] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)

    async def enter(self, rank: float) -> None:
        """Wait for a thread; the lowest rank is next."""
        if self.free:
            self.free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self.waiting, (rank, next(self.order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        while self.waiting:
            _, _, turn = heapq.heappop(self.waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class _Work(Generic[T]):
    """One job in a thread: its thread and its owner's lock are released once, at its end or at its limit.

    Cancelling a waiter neither ends the thread nor changes the limit.
    """

    def __init__(self, owner: _Owner, line: _Line, kind: _Kind, doing: Callable[[], T]) -> None:
        self._owner = owner
        self._turn = owner.turns[kind.pool]
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._left: asyncio.Future[None] = self._loop.create_future()
        self._has_left = False
        self._future = _submit(kind.pool, doing)
        self._limit = self._loop.call_later(kind.seconds, self._give_up)
        self._future.add_done_callback(self._end_soon)

    async def outcome(self) -> T:
        """Wait for the result, or the limit."""
        try:
            await self._left
        except asyncio.CancelledError:
            self._future.cancel()
            raise
        if self._future.cancelled():
            message = "no thread is free, because computations of other namespaces use all of them"
            raise TookTooLong(ErrorReason.WORK_TOOK_TOO_LONG, message, _RETRY_DELAY)
        if not self._future.done():
            raise _too_long()
        return self._future.result()

    def _give_up(self) -> None:
        """Stop waiting at the limit; until the job ends, further jobs of its owner fail at once."""
        if self._future.cancel() or self._future.done():
            return  # it got no thread in time, or is about to end
        self._owner.overdue += 1
        self._owner.strike(self._loop.time())
        self._leave()

    def _end_soon(self, _: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._limit.cancel()
        if not self._future.cancelled():
            now = self._loop.time()
            self._owner.has_used(now - self._began, now)
        if self._has_left:
            self._owner.overdue -= 1
            return
        if not self._future.cancelled():
            self._owner.strikes = 0
        self._leave()

    def _leave(self) -> None:
        self._has_left = True
        self._turn.release()
        self._line.leave()
        if not self._left.done():
            self._left.set_result(None)


class _TenantPool:
    """Pools and tenants of one event loop."""

    def __init__(self) -> None:
        self._owners: dict[str, _Owner] = {}
        self._lines = {kind.pool: _Line(kind.at_once) for kind in (_QUICK, _LONG)}

    async def run(self, name: str, kind: _Kind, doing: Callable[[], T]) -> T:
        owner, loop = self._owner(name), asyncio.get_running_loop()
        _check_owner(owner, loop.time())
        turn = owner.turns[kind.pool]
        await turn.acquire()
        line = self._lines[kind.pool]
        try:
            _check_owner(owner, loop.time())
            await line.enter(owner.rank)
        except BaseException:
            turn.release()
            raise
        try:
            work = _Work(owner, line, kind, doing)
        except BaseException:  # such as if no thread can be started
            turn.release()
            line.leave()
            raise
        return await work.outcome()

    def _owner(self, name: str) -> _Owner:
        if name not in self._owners and len(self._owners) >= _MAX_OWNERS:
            now = loop_time()
            self._owners = {key: owner for key, owner in self._owners.items() if not owner.is_idle(now)}
        return self._owners.setdefault(name, _Owner())


def _check_owner(owner: _Owner, now: float) -> None:
    """Check that the owner is neither suspended nor has a job over its limit.

    Raises:
        TookTooLong: Work of the owner is suspended or over its limit.
    """
    if owner.waits_until > now:
        raise TookTooLong(
            ErrorReason.WORK_SUSPENDED,
            f"computations of this namespace exceeded their time limit {_STRIKES} times in a row and are suspended;"
            " use smaller keys, templates and documents",
            timedelta(seconds=owner.waits_until - now),
        )
    if owner.overdue:
        raise _too_long()


def _too_long() -> TookTooLong:
    message = "the computation exceeds its time limit; use smaller keys, templates and documents"
    return TookTooLong(ErrorReason.WORK_TOOK_TOO_LONG, message, _RETRY_DELAY)


_tenant_pools: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _TenantPool]] = WeakKeyDictionary()


def _tenant_pool() -> _TenantPool:
    return _tenant_pools.setdefault(asyncio.get_running_loop(), _TenantPool())
