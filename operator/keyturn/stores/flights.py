"""Reads that are under way: one for all who want the same, and it lands whoever gave up waiting."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from keyturn.providers.errors import StoreError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Iterator

    from keyturn.providers.base import Found

    from .cache import Outcome
    from .tasks import Tasks

__all__ = ["Flights", "again"]

_PATIENCE: Final = 10.0
"""Seconds that anybody waits for a read; it goes on after that, and whoever asks next finds what it brought."""
_MOST_OVERDUE: Final = 5
"""Reads that may be late before no more are begun: a store that hangs must not take up all workers."""


Read: TypeAlias = "Callable[[], Coroutine[Any, Any, Outcome]]"


class _Flight(NamedTuple):
    task: asyncio.Task[Outcome]
    began: float


class Flights:
    """The reads of one store that are under way, the oldest first."""

    def __init__(self, tasks: Tasks, patience: float = _PATIENCE) -> None:
        self._tasks = tasks
        self._patience = patience
        self._flying: dict[Hashable, _Flight] = {}

    async def share(self, key: Hashable, read: Read) -> Found:
        """Wait for the read of `key` that is under way, else begin `read`.

        Raises:
            StoreError: As the read did, or Unreachable where it takes too long.
        """
        flight = self._flying.get(key)
        if flight is None:
            flight = self._begun(key, read)
        left = flight.began + self._patience - _now()
        if left > 0:
            await asyncio.wait([flight.task], timeout=left)
        return _landed(flight.task)

    def drop(self, key: Hashable) -> None:
        """Let nobody more join the read of `key`: what it reads has just been written."""
        self._flying.pop(key, None)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._flying)

    def is_current(self, key: Hashable) -> bool:
        """Whether the task that asks is the one that others wait for to read `key`."""
        flight = self._flying.get(key)
        return flight is not None and flight.task is asyncio.current_task()

    def _begun(self, key: Hashable, read: Read) -> _Flight:
        late = next(islice(self._flying.values(), _MOST_OVERDUE - 1, None), None)
        if late and late.began + self._patience <= _now():
            raise Unreachable("Slow", "other reads of this store have been waiting for long")
        task = self._tasks.start(read())
        flight = self._flying[key] = _Flight(task, _now())
        task.add_done_callback(lambda _: self._end(key, flight))
        return flight

    def _end(self, key: Hashable, flight: _Flight) -> None:
        if self._flying.get(key) is flight:
            del self._flying[key]


def _landed(task: asyncio.Task[Outcome]) -> Found:
    if not task.done():
        raise Unreachable("Slow", "the store takes its time; what it answers is taken in at the next look")
    if task.cancelled():
        raise Unreachable("Closed", "the store was changed or the operator ends")
    outcome = task.result()
    if isinstance(outcome, StoreError):
        raise again(outcome)
    return outcome


def again(error: StoreError) -> StoreError:
    """Make an error once more, for one more who has to hear it: no traceback grows with each of them."""
    return type(error)(error.code, error.hint, retry_after=error.retry_after)


def _now() -> float:
    return asyncio.get_running_loop().time()
