"""Baseline of reads: which subject usually reads which secret, learned before anything is unusual.

Pairs of subject and secret are short keyed hashes in order of their last use. Unlike a Bloom filter this never takes
an unknown reader for a known one; above the limit the oldest pair is dropped, and its reader is reported once more.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .access_log import AccessScope
    from .event import Access

__all__ = ["MOST_PAIRS", "TAG_BYTES", "Habits", "Unusual"]

MOST_PAIRS: Final = 40_000
TAG_BYTES: Final = 8
"""Keyed, so that no collision can be searched for; among 40,000 tags the chance is 1 in 20 billion."""
_WINDOW: Final = timedelta(minutes=5)
_MAX_SUBJECTS: Final = 2_000


class Unusual(StrEnum):
    """Why a read is reported."""

    FIRST = "FirstRead"
    MANY = "ManySecrets"
    PERSON = "PersonInProduction"


@dataclass(slots=True)
class _Spree:
    """The different secrets that a subject has read within a window."""

    since: datetime
    scopes: set[AccessScope] = field(default_factory=set)


@dataclass(slots=True)
class Habits:
    """The baseline; times are those of the events."""

    key: bytes
    learning: timedelta
    many: int
    """Number of different secrets within five minutes that is reported."""
    since: datetime | None = None
    """Time of the first event."""
    pairs: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    is_changed: bool = False
    _sprees: OrderedDict[str, _Spree] = field(default_factory=OrderedDict)

    def judge(self, scope: AccessScope, access: Access) -> list[Unusual]:
        """Record a read, and return what is unusual about it."""
        if self.since is None or access.time < self.since:
            self.since, self.is_changed = access.time, True
        is_learning = self.is_learning(access.time)
        found = []
        if self._is_new(access.subject, *scope) and not is_learning:
            found.append(Unusual.FIRST)
        if scope.name and self._has_read_many(scope, access):
            # Learned only during the learning period, so that later each case is reported.
            tag = self._tag(access.subject, "many")
            if is_learning:
                self._learn(tag)
            elif tag not in self.pairs:
                found.append(Unusual.MANY)
        return found

    def is_learning(self, time: datetime) -> bool:
        """Whether the learning period includes this time."""
        return self.since is None or time - self.since < self.learning

    def merge(self, key: bytes, since: datetime | None, pairs: OrderedDict[bytes, None]) -> Iterator[int]:
        """Add the stored pairs before ours, the oldest first; yield the pairs of each step.

        The stored key replaces ours, with all pairs that used it. Reads may be judged between two steps.
        """
        times = [time for time in (since, self.since) if time]
        self.since = min(times, default=None)
        if key != self.key:
            self.key, self.pairs = key, pairs
            return
        for tag in reversed(pairs):
            if len(self.pairs) >= MOST_PAIRS:
                break
            if tag not in self.pairs:
                self.pairs[tag] = None
                self.pairs.move_to_end(tag, last=False)
            yield 1

    def copy(self) -> Habits:
        """Return a copy, to be written in another thread."""
        return replace(self, pairs=self.pairs.copy())

    def _is_new(self, *words: str) -> bool:
        tag = self._tag(*words)
        if tag in self.pairs:
            self.pairs.move_to_end(tag)
            return False
        self._learn(tag)
        self.is_changed = True
        return True

    def _learn(self, tag: bytes) -> None:
        self.pairs[tag] = None
        self.pairs.move_to_end(tag)
        while len(self.pairs) > MOST_PAIRS:
            self.pairs.popitem(last=False)

    def _has_read_many(self, scope: AccessScope, access: Access) -> bool:
        """Whether this read reaches the limit."""
        spree = self._sprees.get(access.subject)
        # An earlier time is part of the window: the clock of one API server may be behind that of another.
        if spree is None or access.time - spree.since > _WINDOW:
            spree = self._sprees[access.subject] = _Spree(access.time)
        self._sprees.move_to_end(access.subject)
        while len(self._sprees) > _MAX_SUBJECTS:
            self._sprees.popitem(last=False)
        if scope in spree.scopes or len(spree.scopes) >= self.many:
            return False
        spree.scopes.add(scope)
        return len(spree.scopes) == self.many

    def _tag(self, *words: str) -> bytes:
        text = "\0".join(words).encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, text, hashlib.sha256)[:TAG_BYTES]
