"""Who usually reads what, and what is unusual after a time of learning.

Pairs of a subject and a secret are kept as short keyed tags in order of their last use. That is exact where a sketch
(Bloom filter, top-k) would sometimes take a stranger for known; and when there are too many, the eldest is forgotten:
then a known reader is told of once more, and no stranger is missed.
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
    from collections.abc import Iterable

    from .access_log import AccessScope
    from .event import Access

__all__ = ["MOST_PAIRS", "TAG_BYTES", "Habits", "Unusual"]

MOST_PAIRS: Final = 40_000
TAG_BYTES: Final = 8
"""Keyed, so that nobody can look for two that agree; two of 40,000 do by chance once in 20 billion."""
_WINDOW: Final = timedelta(minutes=5)
_MOST_WATCHED: Final = 2_000


class Unusual(StrEnum):
    """Why an access is told of."""

    FIRST = "FirstRead"
    MANY = "ManySecrets"
    PERSON = "PersonInProduction"


@dataclass(slots=True)
class _Spree:
    """The different secrets that a subject has read since a moment."""

    since: datetime
    scopes: set[AccessScope] = field(default_factory=set)


@dataclass(slots=True)
class Habits:
    """What is known so far; the times are those of the events."""

    key: bytes
    learning: timedelta
    many: int
    """Different secrets within five minutes that are told of."""
    since: datetime | None = None
    """The first event there was."""
    pairs: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    is_changed: bool = False
    _sprees: OrderedDict[str, _Spree] = field(default_factory=OrderedDict)

    def judge(self, scope: AccessScope, access: Access) -> list[Unusual]:
        """Take in an access, and say what is unusual about it."""
        if self.since is None or access.time < self.since:
            self.since, self.is_changed = access.time, True
        is_learning = self.is_learning(access.time)
        found = []
        if self._is_new(access.subject, *scope) and not is_learning:
            found.append(Unusual.FIRST)
        if scope.name and self._has_read_many(scope, access):
            # Learned while there is learning, and never afterwards: it is told of each time.
            tag = self._tag(access.subject, "many")
            if is_learning:
                self._learn(tag)
            elif tag not in self.pairs:
                found.append(Unusual.MANY)
        return found

    def is_learning(self, time: datetime) -> bool:
        """Say whether so little was seen by then that nobody is new."""
        return self.since is None or time - self.since < self.learning

    def merge(self, key: bytes, since: datetime | None, pairs: Iterable[bytes]) -> None:
        """Take over what the record has, the eldest first; its key counts, and with it only what was made by it."""
        if key != self.key:
            self.key, self.pairs = key, OrderedDict()
        mine, self.pairs = self.pairs, OrderedDict.fromkeys(pairs)
        for tag in mine:
            self._learn(tag)
        times = [time for time in (since, self.since) if time]
        self.since = min(times, default=None)
        self.is_changed = False

    def copy(self) -> Habits:
        """Return what is known now, for whoever writes it down in another thread."""
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
        """Say whether this is the one with which there are too many."""
        spree = self._sprees.get(access.subject)
        if spree is None or access.time - spree.since > _WINDOW:
            spree = self._sprees[access.subject] = _Spree(access.time)
        self._sprees.move_to_end(access.subject)
        while len(self._sprees) > _MOST_WATCHED:
            self._sprees.popitem(last=False)
        if scope in spree.scopes or len(spree.scopes) >= self.many:
            return False
        spree.scopes.add(scope)
        return len(spree.scopes) == self.many

    def _tag(self, *words: str) -> bytes:
        text = "\0".join(words).encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, text, hashlib.sha256)[:TAG_BYTES]
