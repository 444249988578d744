"""Fair queue: which key is next when several owners share workers."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")

_LEAD: Final = 4
"""Rounds, of one key per owner with work, that a new or idle owner is ahead: a new Secret takes a few passes."""


class FairQueue(Generic[K]):
    """Start-time fair queue; the keys of one owner stay in the order of their addition.

    Keys have equal length (Goyal, Vin, Cheng, SIGCOMM 1996): an owner's next key has a start tag one above that of
    its last, and the lowest start tag is next. An owner without keys keeps a lead of `_LEAD` rounds, so that a first
    Secret does not wait for a round of all owners with work.
    """

    def __init__(self) -> None:
        self._of: dict[str, deque[K]] = {}
        self._starts: list[tuple[int, int, str]] = []
        """A heap with the start tag of each owner with keys, and the order among equal tags."""
        self._order = itertools.count()
        self._now = 0
        """Virtual time: the highest start tag that was taken."""
        self._next: dict[str, int] = {}
        """The lowest start tag of the next key, by owner."""
        self._most = 64
        """Number of tags above which those of idle owners are dropped."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def append(self, owner: str, key: K) -> None:
        keys = self._of.get(owner)
        if keys is None:
            keys = self._of[owner] = deque()
            self._push(owner, max(self._next.get(owner, self._earliest), self._earliest))
        keys.append(key)
        self._size += 1

    def keep(self, is_wanted: Callable[[K], bool]) -> None:
        """Drop the keys for which `is_wanted` is false, and all but the first of each."""
        kept = {
            owner: deque(dict.fromkeys(filter(is_wanted, entries))) for owner, entries in self._of.items()
        }
        self._of = {owner: keys for owner, keys in kept.items() if keys}
        self._starts = [entry for entry in self._starts if entry[2] in self._of]
        heapq.heapify(self._starts)
        self._size = sum(map(len, self._of.values()))

    def take(self, may: Callable[[str], bool]) -> K | None:
        """Remove and return the next key of the first owner for which `may` is true."""
        passed_over = []
        key = None
        while self._starts and key is None:
            start, _, owner = entry = heapq.heappop(self._starts)
            if may(owner):
                key = self._take_of(owner, start)
            else:
                passed_over.append(entry)
        for entry in passed_over:
            heapq.heappush(self._starts, entry)
        return key

    @property
    def _earliest(self) -> int:
        return self._now - _LEAD

    def _take_of(self, owner: str, start: int) -> K:
        keys = self._of[owner]
        key = keys.popleft()
        self._size -= 1
        self._now = max(self._now, start)
        self._next[owner] = start + 1
        if keys:
            self._push(owner, start + 1)
        else:
            del self._of[owner]
            self._forget_idle()
        return key

    def _push(self, owner: str, start: int) -> None:
        heapq.heappush(self._starts, (start, next(self._order), owner))

    def _forget_idle(self) -> None:
        """Drop the tags of owners that were idle long enough to start like new ones."""
        if len(self._next) > self._most:
            self._next = {owner: start for owner, start in self._next.items() if start > self._earliest}
            self._most = 2 * len(self._next) + 64
