"""Reads of a store that callers share: cached for its minInterval, and one request for concurrent reads of a key."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from .providers import properties
from .providers.base import RemoteValue
from .providers.errors import StoreError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator

    from keyturn.runtime.concurrency import Tasks

Outcome: TypeAlias = "RemoteValue | StoreError"

_MAX_BYTES: Final = 16 * 1024 * 1024
"""Maximum bytes of all cached values; beyond that the oldest are dropped."""
_OVERHEAD: Final = 512


class _Kept(NamedTuple):
    outcome: Outcome
    size: int
    timer: asyncio.TimerHandle


class Cache:
    """Keeps each result for the time that is passed with it, by a timer."""

    def __init__(self, largest: int = _MAX_BYTES) -> None:
        self._largest = largest
        self._kept: dict[Hashable, _Kept] = {}
        self._size = 0

    def get(self, key: Hashable) -> Outcome | None:
        kept = self._kept.get(key)
        return kept.outcome if kept else None

    def put(self, key: Hashable, outcome: Outcome, seconds: float) -> None:
        self.drop(key)
        size = _OVERHEAD + (properties.memory_of(outcome.content) if isinstance(outcome, RemoteValue) else 0)
        timer = asyncio.get_running_loop().call_later(seconds, self.drop, key)
        self._kept[key] = _Kept(outcome, size, timer)
        self._size += size
        while self._size > self._largest:
            self.drop(next(iter(self._kept)))

    def drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept:
            kept.timer.cancel()
            self._size -= kept.size

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._kept)

    def clear(self) -> None:
        for key in list(self._kept):
            self.drop(key)

    def __len__(self) -> int:
        return len(self._kept)


# Single-flight: concurrent reads of a key share one request, which completes even if a caller is cancelled. A fresh
# read never gets the answer to a request that was sent before it: such reads of a key share one follow-up.

Read: TypeAlias = "Callable[[], Coroutine[Any, Any, Outcome]]"


class SingleFlight:
    """Reads of one store that are in progress."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._flying: dict[Hashable, asyncio.Task[Outcome]] = {}
        self._follow_ups: dict[Hashable, asyncio.Task[Outcome]] = {}
        """Reads that begin when the one in progress has ended."""
        self._sent: set[asyncio.Task[Outcome]] = set()
        """Reads whose answer may be older than a caller from now on."""
        self._all: set[asyncio.Task[Outcome]] = set()
        """All reads, including those that accept no further caller."""

    async def share(self, key: Hashable, read: Read, *, fresh: bool = False) -> RemoteValue:
        """Wait for the read of `key` in progress, or start `read`.

        With `fresh`, wait for the follow-up of a read that was sent already.

        Raises:
            StoreError: The error of the read.
        """
        flight = self._flying.get(key)
        if flight is None:
            flight = self._flying[key] = self._start(key, read())
        elif fresh and flight in self._sent:
            follow_up = self._follow_ups.get(key) or self._start(key, _after(flight, read))
            flight = self._follow_ups[key] = follow_up
        await asyncio.wait([flight])  # cancellation ends the wait, not the request
        return _landed(flight)

    def mark_sent(self) -> None:
        """Let no further fresh caller join the read of the current task."""
        flight = asyncio.current_task()
        if flight is not None:
            self._sent.add(flight)

    def drop(self, key: Hashable) -> None:
        """Let no further caller join the reads of `key`, since the key was just written."""
        self._flying.pop(key, None)
        self._follow_ups.pop(key, None)

    def close(self) -> None:
        """Cancel all reads; their callers get an error."""
        for flight in self._all:
            flight.cancel()

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._flying)

    def is_current(self, key: Hashable) -> bool:
        """Whether the current task is the read of `key` that new callers join."""
        flight = self._flying.get(key)
        return flight is not None and flight is asyncio.current_task()

    def _start(self, key: Hashable, read: Coroutine[Any, Any, Outcome]) -> asyncio.Task[Outcome]:
        flight = self._tasks.start(read)
        self._all.add(flight)
        flight.add_done_callback(partial(self._end, key))
        return flight

    def _end(self, key: Hashable, flight: asyncio.Task[Outcome]) -> None:
        self._all.discard(flight)
        self._sent.discard(flight)
        if self._flying.get(key) is not flight:
            return
        del self._flying[key]
        if follow_up := self._follow_ups.pop(key, None):
            self._flying[key] = follow_up


async def _after(flight: asyncio.Task[Outcome], read: Read) -> Outcome:
    await asyncio.wait([flight])
    return await read()


def _landed(task: asyncio.Task[Outcome]) -> RemoteValue:
    if task.cancelled():
        raise closed()
    outcome = task.result()
    if isinstance(outcome, StoreError):
        raise again(outcome)
    return outcome


def closed() -> Unreachable:
    """Return the error for a read that is cancelled at shutdown."""
    return Unreachable("Closed", "the store was changed, or the operator ends")


def again(error: StoreError) -> StoreError:
    """Copy an error for a further caller, so that no traceback grows with each of them."""
    return type(error)(error.code, error.hint, retry_after=error.retry_after, host=error.host)
