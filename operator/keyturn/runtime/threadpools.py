"""Where work is done that would hold up the event loop: in few threads, and nobody's in those of another.

What a tenant has us compute shares a few threads, one for each owner at a time, however much there is to do; who has
used them least is next. What may take long, such as a large key, has threads and turns apart. Whatever outlasts its
limit cannot be stopped, but is waited for no longer: another thread takes its place, and who has had that thrice
waits. What the operator does for itself, such as its metrics, has threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import itertools
import math
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, ParamSpec, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from keyturn.core.errors import Wait

from .scheduling import yield_processor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TookTooLong", "for_tenant", "for_tenant_at_length", "for_us"]

P = ParamSpec("P")
T = TypeVar("T")

_STRIKES: Final = 3
_PENALTY: Final = timedelta(minutes=10)
_SOON: Final = timedelta(seconds=30)
_HALVES_IN: Final = 30.0
"""Seconds after which half of what an owner has used is forgotten."""
_MOST_OWNERS: Final = 1024
_REPLACED: Final = 6
"""Threads that take the place of those in which something outlasts its limit."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Threads for work of one length."""

    at_once: int
    seconds: float
    """How long work may take."""
    pool: ThreadPoolExecutor


_OURS: Final = ThreadPoolExecutor(2, "ours")
# Each of them holds what a template may keep; see keyturn.templates.bounds.
_QUICK: Final = _Kind(3, 20.0, ThreadPoolExecutor(3 + _REPLACED, "tenants"))
_LONG: Final = _Kind(2, 180.0, ThreadPoolExecutor(2 + _REPLACED, "keys", yield_processor))


class TookTooLong(Wait):
    """What an owner has us compute outlasts its limit, or has done so before."""


async def for_us(doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do what the operator needs itself."""
    return await asyncio.get_running_loop().run_in_executor(_OURS, _call(doing, *args, **named))


async def for_tenant(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do what `owner` makes us do, after all else that it makes us do; others do not wait for it.

    Raises:
        TookTooLong: It goes on for too long, or the last works of the owner did.
    """
    return await _office().done(owner, _QUICK, _call(doing, *args, **named))


async def for_tenant_at_length(owner: str, doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Do what takes seconds by its nature, such as to look for large primes; otherwise as `for_tenant`.

    Raises:
        TookTooLong: It goes on for too long, or the last works of the owner did.
    """
    return await _office().done(owner, _LONG, _call(doing, *args, **named))


def _call(doing: Callable[P, T], *args: P.args, **named: P.kwargs) -> Callable[[], T]:
    return partial(contextvars.copy_context().run, partial(doing, *args, **named))


# Who is next


@dataclass(slots=True)
class _Owner:
    """What one owner has had done lately."""

    turns: defaultdict[ThreadPoolExecutor, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )
    """One for each kind of threads: what is small does not wait for the owner's own large keys."""
    used: float = 0.0
    """Seconds of threads, half of them forgotten after a while."""
    at: float = 0.0
    strikes: int = 0
    """How many works in a row took too long."""
    overdue: int = 0
    """Works that take too long, and have not ended yet."""
    waits_until: float = 0.0

    def used_by(self, now: float) -> float:
        return self.used * math.exp2((self.at - now) / _HALVES_IN)

    def has_used(self, seconds: float, now: float) -> None:
        self.used, self.at = self.used_by(now) + seconds, now

    @property
    def rank(self) -> float:
        """Whose is lower has used less, whenever the two are asked: what one used is forgotten as it waits."""
        return math.log2(self.used) + self.at / _HALVES_IN if self.used else -math.inf

    def strike(self, now: float) -> None:
        """Take in that a work took too long; have the owner wait at the third one in a row."""
        self.strikes += 1
        if self.strikes >= _STRIKES:
            self.strikes, self.waits_until = 0, now + _PENALTY.total_seconds()

    def is_idle(self, now: float) -> bool:
        is_busy = any(turn.locked() for turn in self.turns.values())
        at_rest = not (is_busy or self.strikes or self.overdue or self.waits_until > now)
        return at_rest and self.used_by(now) < 0.01  # noqa: PLR2004  # ten milliseconds put nobody off


_Turn: TypeAlias = "tuple[float, int, asyncio.Future[None]]"


@dataclass(slots=True)
class _Line:
    """Who waits for threads of one kind."""

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
    """One work in a thread: it gives its place there and its owner's turn back once, at its end or at its limit.

    Whoever waits for it may go away, which ends no thread and moves no limit.
    """

    def __init__(self, owner: _Owner, line: _Line, kind: _Kind, doing: Callable[[], T]) -> None:
        self._owner = owner
        self._turn = owner.turns[kind.pool]
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._left: asyncio.Future[None] = self._loop.create_future()
        self._has_left = False
        self._future = kind.pool.submit(doing)
        self._limit = self._loop.call_later(kind.seconds, self._give_up)
        self._future.add_done_callback(self._end_soon)

    async def outcome(self) -> T:
        """Wait for its end, or its limit.

        Raises:
            TookTooLong: It goes on, or could not even begin.
        """
        try:
            await self._left
        except asyncio.CancelledError:
            self._future.cancel()
            raise
        if self._future.cancelled():
            raise _too_busy()
        if not self._future.done():
            raise _too_long()
        return self._future.result()

    def _give_up(self) -> None:
        """Wait for it no longer; until it ends, nothing else is begun for its owner, and nobody stands in line."""
        if self._future.cancel() or self._future.done():
            return  # it has waited for a thread all the while, or its end is near
        self._owner.overdue += 1
        self._owner.strike(self._loop.time())
        self._leave()

    def _end_soon(self, _: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
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


class _Office:
    """The threads of tenants, as one event loop has them done."""

    def __init__(self) -> None:
        self._owners: dict[str, _Owner] = {}
        self._lines = {kind.pool: _Line(kind.at_once) for kind in (_QUICK, _LONG)}

    async def done(self, name: str, kind: _Kind, doing: Callable[[], T]) -> T:
        owner, loop = self._owner(name), asyncio.get_running_loop()
        _hold_back(owner, loop.time())
        turn = owner.turns[kind.pool]
        await turn.acquire()
        line = self._lines[kind.pool]
        try:
            _hold_back(owner, loop.time())
            await line.enter(owner.rank)
        except BaseException:
            turn.release()
            raise
        try:
            work = _Work(owner, line, kind, doing)
        except BaseException:  # such as where there can be no more threads
            turn.release()
            line.leave()
            raise
        return await work.outcome()

    def _owner(self, name: str) -> _Owner:
        if name not in self._owners and len(self._owners) >= _MOST_OWNERS:
            now = asyncio.get_running_loop().time()
            self._owners = {key: one for key, one in self._owners.items() if not one.is_idle(now)}
        return self._owners.setdefault(name, _Owner())


def _hold_back(owner: _Owner, now: float) -> None:
    """Begin nothing for who waits, or whose last work goes on beyond its limit."""
    if owner.waits_until > now:
        raise TookTooLong(
            "WorkSuspended",
            f"what this namespace has computed took too long {_STRIKES} times in a row, so it waits;"
            " write smaller keys, templates and documents",
            timedelta(seconds=owner.waits_until - now),
        )
    if owner.overdue:
        raise _too_long()


def _too_long() -> TookTooLong:
    message = "to compute it takes too long; write smaller keys, templates and documents"
    return TookTooLong("WorkTookTooLong", message, _SOON)


def _too_busy() -> TookTooLong:
    message = "to compute it has waited for too long; other namespaces keep every thread busy"
    return TookTooLong("WorkTookTooLong", message, _SOON)


_offices: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Office]] = WeakKeyDictionary()


def _office() -> _Office:
    return _offices.setdefault(asyncio.get_running_loop(), _Office())
