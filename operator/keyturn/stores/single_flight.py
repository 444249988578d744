"""Reads that are under way: one for all who want the same, and it lands though one of them goes away."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from .providers.errors import StoreError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator

    from keyturn.runtime.background_tasks import Tasks

    from .cache import Outcome
    from .providers.base import RemoteValue

__all__ = ["SingleFlight", "again", "closed"]

Read: TypeAlias = "Callable[[], Coroutine[Any, Any, Outcome]]"


class SingleFlight:
    """The reads of one store that are under way."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._flying: dict[Hashable, asyncio.Task[Outcome]] = {}
        self._all: set[asyncio.Task[Outcome]] = set()
        """Those that nobody may join any more, too."""

    async def share(self, key: Hashable, read: Read) -> RemoteValue:
        """Wait for the read of `key` that is under way, else begin `read`.

        Raises:
            StoreError: As the read did.
        """
        flight = self._flying.get(key)
        if flight is None:
            flight = self._flying[key] = self._tasks.start(read())
            self._all.add(flight)
            flight.add_done_callback(partial(self._end, key))
        await asyncio.wait([flight])  # which ends with its waiter, and the flight does not
        return _landed(flight)

    def drop(self, key: Hashable) -> None:
        """Let nobody more join the read of `key`: what it reads has just been written."""
        self._flying.pop(key, None)

    def close(self) -> None:
        """Cancel them all, which those who wait hear of."""
        for flight in self._all:
            flight.cancel()

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._flying)

    def is_current(self, key: Hashable) -> bool:
        """Whether the task that asks is the one that others wait for to read `key`."""
        flight = self._flying.get(key)
        return flight is not None and flight is asyncio.current_task()

    def _end(self, key: Hashable, flight: asyncio.Task[Outcome]) -> None:
        self._all.discard(flight)
        if self._flying.get(key) is flight:
            del self._flying[key]


def _landed(task: asyncio.Task[Outcome]) -> RemoteValue:
    if task.cancelled():
        raise closed()
    outcome = task.result()
    if isinstance(outcome, StoreError):
        raise again(outcome)
    return outcome


def closed() -> Unreachable:
    """Say that what somebody waited for ends before it is done."""
    return Unreachable("Closed", "the store was changed, or the operator ends")


def again(error: StoreError) -> StoreError:
    """Make an error once more, for one more who has to hear it: no traceback grows with each of them."""
    return type(error)(error.code, error.hint, retry_after=error.retry_after)
