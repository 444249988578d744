"""Schedule of periodic reads: each key once per round, round-robin over owners.

The length of a round is random per key (45 to 55 s), so bursts spread out. An owner with more keys than fit into a
round is read late without delaying others.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

__all__ = ["LATEST", "SOONEST", "Rounds"]

K = TypeVar("K", bound="Hashable")

SOONEST: Final = 45.0
LATEST: Final = 55.0
"""Seconds between two reads of a key; the rest of a minute is for the answer and the repair."""


class Rounds(Generic[K]):
    """Due times of keys; the caller provides time and randomness."""

    def __init__(self, owner: Callable[[K], str], chance: Callable[[], float]) -> None:
        """`owner` maps a key to its owner; `chance` returns a random number from 0 to 1."""
        self.late = 0.0
        """Seconds by which the last key was late."""
        self._owner = owner
        self._chance = chance
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._ready: dict[str, deque[tuple[float, int, K]]] = {}
        """Due entries by owner, in round-robin order of the owners."""
        self._order = itertools.count()

    def follow(self, keys: Iterable[K], now: float) -> set[K]:
        """Set the keys that exist; return the removed ones. A new key is due within a round."""
        current = set(keys)
        gone = self._due.keys() - current
        for key in gone:
            del self._due[key]
        for key in current - self._due.keys():
            self._put(key, now + LATEST * self._chance())
        return gone

    def take(self, now: float) -> K | None:
        """Return the key to read now and schedule its next read; None if none is due."""
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            self._ready.setdefault(self._owner(entry[2]), deque()).append(entry)
        while self._ready:
            owner = next(iter(self._ready))
            queue = self._ready.pop(owner)
            entry = queue.popleft()
            if queue:
                self._ready[owner] = queue
            if self._holds(entry):
                due, _, key = entry
                self.late = now - due
                self._put(key, now + SOONEST + (LATEST - SOONEST) * self._chance())
                return key
        return None

    def again(self, key: K, now: float) -> None:
        """Make a key due at its owner's next turn, because it could not be read."""
        if key in self._due:
            self._put(key, now)

    def pause(self, now: float) -> float:
        """Return the seconds until a key is due; infinite without keys."""
        if self._ready:
            return 0.0
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return max(self._heap[0][0] - now, 0.0) if self._heap else inf

    def _holds(self, entry: tuple[float, int, K]) -> bool:
        """Whether an entry is still the current one of its key."""
        return self._due.get(entry[2]) == entry[:2]

    def _put(self, key: K, due: float) -> None:
        entry = (due, next(self._order))
        self._due[key] = entry
        heapq.heappush(self._heap, (*entry, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            waiting = {scheduled[1] for queue in self._ready.values() for scheduled in queue}
            self._heap = [
                (*scheduled, key) for key, scheduled in self._due.items() if scheduled[1] not in waiting
            ]
            heapq.heapify(self._heap)
