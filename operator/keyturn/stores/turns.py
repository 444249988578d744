"""How many requests one namespace may have under way, so that its slow stores leave room for everybody else's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Turns"]


class Turns:
    """So many at a time for each name, and all together no more than so many."""

    def __init__(self, each: int, everybody: int) -> None:
        self._each = each
        self._everybody = asyncio.Semaphore(everybody)
        self._of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn of this name, and only then in the queue that all share."""
        own = self._of.get(name)
        if own is None:
            own = self._of[name] = asyncio.Semaphore(self._each)
        async with own, self._everybody:
            yield
