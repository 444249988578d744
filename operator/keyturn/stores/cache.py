"""Cache of store reads, which expire after the store's minInterval."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from .providers import properties
from .providers.base import RemoteValue

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from .providers.errors import StoreError

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
