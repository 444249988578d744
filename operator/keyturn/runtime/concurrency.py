"""How much one owner may have under way, so that what is slow of one leaves room for everybody else's.

Who waits is served one of each owner in turn, and an owner who has nothing under way waits for no other: places are
kept for the first of each.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["KeyedLimiter"]


class KeyedLimiter:
    """So many at a time for each name, and all together no more than so many, the first of each name apart."""

    def __init__(self, each: int, everybody: int, *, firsts: int = 0) -> None:
        """Take `firsts` as the places beyond `everybody` that only those take who have none."""
        self._each = each
        self._everybody = everybody
        self._firsts = firsts
        self._taken = 0
        self._inside: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By name, in the order in which the names come to their next turn."""

    @asynccontextmanager
    async def taken(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn of this name, and hold it."""
        await self.take(name)
        try:
            yield
        finally:
            self.give_back(name)

    async def take(self, name: str) -> None:
        """Wait for a turn of this name, which `give_back` ends."""
        if name not in self._waiting and self._has_room(name):
            self._enter(name)
            return
        called = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(called)
        try:
            await called
        except asyncio.CancelledError:
            self._go_away(name, called)
            raise

    def give_back(self, name: str) -> None:
        """End a turn of this name, and call whose turn is next."""
        self._taken -= 1
        self._inside[name] -= 1
        if not self._inside[name]:
            del self._inside[name]
        self._call()

    def _has_room(self, name: str) -> bool:
        inside = self._inside[name]
        if not inside and self._taken < self._everybody + self._firsts:
            return True
        return inside < self._each and self._taken < self._everybody

    def _enter(self, name: str) -> None:
        self._taken += 1
        self._inside[name] += 1

    def _call(self) -> None:
        # Those who are passed over have all that they may, or wait for a place that is none of the firsts'.
        while name := next((name for name in self._waiting if self._has_room(name)), None):
            queue = self._waiting.pop(name)
            called = queue.popleft()
            if queue:
                self._waiting[name] = queue
            if not called.cancelled():
                called.set_result(None)
                self._enter(name)

    def _go_away(self, name: str, called: asyncio.Future[None]) -> None:
        if not called.cancelled():
            self.give_back(name)  # it was called, and has gone away in the same moment
            return
        queue = self._waiting.get(name, deque())
        if called in queue:
            queue.remove(called)
        if not queue:
            self._waiting.pop(name, None)
