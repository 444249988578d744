"""The bounded line between the endpoint and the watcher: what does not fit is refused, not lost later."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .event import Told

__all__ = ["Intake"]

_MOST: Final = 20_000
_AT_A_TIME: Final = 50


class Intake:
    """Events in the order in which they came."""

    def __init__(self, take: Callable[[Told], None], most: int = _MOST) -> None:
        """Have `take` called with each event."""
        self._take = take
        self._most = most
        self._waiting: deque[Told] = deque()
        self._news = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= self._most

    def add(self, events: Sequence[Told]) -> None:
        """Take what an accepted batch told: not more than one beyond the limit, since each asks before."""
        self._waiting.extend(events)
        self._news.set()

    async def run(self) -> None:
        """Hand on what comes, some at a time: rotations go on between."""
        while True:
            await self._news.wait()
            self._hand_on(_AT_A_TIME)
            if not self._waiting:
                self._news.clear()
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Hand on all that was accepted."""
        self._hand_on(len(self._waiting))

    def _hand_on(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            self._take(self._waiting.popleft())
