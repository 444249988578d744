"""Which of many is read next: each once in a round, and one of each owner in turn.

Rounds are of different lengths, by chance, so that what came together is spread out before long. Who has so much that
a round is too short for it is read late, and no other is.
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
"""Seconds from one read to the next; what is left of a minute is for the answer and the repair."""


class Rounds(Generic[K]):
    """When each key is due; the clock and the chance are the caller's."""

    def __init__(self, owner: Callable[[K], str], chance: Callable[[], float]) -> None:
        """Take `owner` as what names whose a key is, and `chance` as what draws from 0 to 1."""
        self.late = 0.0
        """By how many seconds the last one that was taken came late."""
        self._owner = owner
        self._chance = chance
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._ready: dict[str, deque[tuple[float, int, K]]] = {}
        """What is due, by owner, in the order in which the owners come to their next turn."""
        self._order = itertools.count()

    def follow(self, keys: Iterable[K], now: float) -> set[K]:
        """Take in which keys there are; return those that are gone. A new one is read within a round."""
        there = set(keys)
        gone = self._due.keys() - there
        for key in gone:
            del self._due[key]
        for key in there - self._due.keys():
            self._put(key, now + LATEST * self._chance())
        return gone

    def take(self, now: float) -> K | None:
        """Return who is read now, and plan its next turn; None where nothing is due."""
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
        """Have a key read as soon as its owner's turn comes: it could not be read."""
        if key in self._due:
            self._put(key, now)

    def pause(self, now: float) -> float:
        """Return how many seconds pass until something is due; infinite where there is nothing."""
        if self._ready:
            return 0.0
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        return max(self._heap[0][0] - now, 0.0) if self._heap else inf

    def _holds(self, entry: tuple[float, int, K]) -> bool:
        """Say whether an entry was not replaced since, and its key is still there."""
        return self._due.get(entry[2]) == entry[:2]

    def _put(self, key: K, due: float) -> None:
        entry = (due, next(self._order))
        self._due[key] = entry
        heapq.heappush(self._heap, (*entry, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            waiting = {one[1] for queue in self._ready.values() for one in queue}
            self._heap = [(*one, key) for key, one in self._due.items() if one[1] not in waiting]
            heapq.heapify(self._heap)
