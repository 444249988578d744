"""Bounded queue between endpoint and classifier: a batch that does not fit is rejected, so nothing is lost."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .event import Told

__all__ = ["Intake"]

_MAX_EVENTS: Final = 20_000
_GROUP_SIZE: Final = 50


class Intake:
    """Events in order of arrival."""

    def __init__(self, take: Callable[[Told], None], most: int = _MAX_EVENTS) -> None:
        """`take` is called with each event."""
        self._take = take
        self._most = most
        self._waiting: deque[Told] = deque()
        self._news = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= self._most

    def add(self, events: Sequence[Told]) -> None:
        """Add the events of an accepted batch; each batch checks for space first, so one may exceed the limit."""
        self._waiting.extend(events)
        self._news.set()

    async def run(self) -> None:
        """Process events in small groups, so that reconciles run in between."""
        while True:
            await self._news.wait()
            self._hand_on(_GROUP_SIZE)
            if not self._waiting:
                self._news.clear()
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Process all accepted events."""
        self._hand_on(len(self._waiting))

    def _hand_on(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            self._take(self._waiting.popleft())
