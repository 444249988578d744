"""Which managed secrets hold equal values, by tags that only this process can make and that end with it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import defaultdict
from typing import TYPE_CHECKING

from keyturn.core.keys import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.value import Value

__all__ = ["ValueIndex"]

_KEY_BYTES = 32
_TAG_BYTES = 16  # of 32: two values that differ share one by chance in 2**128


class ValueIndex:
    """An index of HMAC tags, in memory only.

    A tag is made of a value with a random key of the process: it tells nothing to anybody else, nor to the next
    process. That one has to read every value once before it knows that no two are equal.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._tags: dict[ObjectKey, frozenset[tuple[str, bytes]]] = {}
        self._holders: defaultdict[bytes, set[ObjectKey]] = defaultdict(set)
        self._unread: set[ObjectKey] | None = None
        self._waiting: set[ObjectKey] = set()

    def expect(self, keys: Iterable[ObjectKey]) -> None:
        """Say once which objects there are when the process starts."""
        self._unread = set(keys) - self._tags.keys()

    @property
    def are_complete(self) -> bool:
        """Every object of the start was read: who has no twin has none."""
        return self._unread is not None and not self._unread

    def put(self, key: ObjectKey, values: Iterable[tuple[str, Value]]) -> set[ObjectKey]:
        """Take in the named values that an object holds; return the others to whom that is news."""
        fresh = frozenset((name, self._tag(value)) for name, value in values)
        before = self._tags.pop(key, frozenset())
        if fresh:
            self._tags[key] = fresh
        news = set[ObjectKey]()
        for tag in {tag for _, tag in fresh ^ before}:
            news |= self._moved(key, tag, {held for _, held in fresh})
        return news - {key}

    def drop(self, key: ObjectKey) -> set[ObjectKey]:
        """Forget an object; return the others to whom that is news."""
        return self.put(key, ()) | self.read(key)

    def twins(self, key: ObjectKey) -> dict[str, set[ObjectKey]]:
        """Return by name the values that other objects hold as well, with these objects."""
        held = self._tags.get(key, frozenset())
        shared = {name: self._holders[tag] - {key} for name, tag in held}
        return {name: others for name, others in shared.items() if others}

    def wait(self, key: ObjectKey) -> None:
        """Have `key` told when every object was read."""
        self._waiting.add(key)

    def read(self, key: ObjectKey) -> set[ObjectKey]:
        """Count an object of the start as read; return who waits for the last of them."""
        if self._unread:
            self._unread.discard(key)
        if not self.are_complete:
            return set()
        waiting, self._waiting = self._waiting, set()
        return waiting

    def _tag(self, value: Value) -> bytes:
        return hmac.digest(self._key, value.reveal(), hashlib.sha256)[:_TAG_BYTES]

    def _moved(self, key: ObjectKey, tag: bytes, held: set[bytes]) -> set[ObjectKey]:
        holders = self._holders[tag]
        if tag in held:
            holders.add(key)
        else:
            holders.discard(key)
        if not holders:
            del self._holders[tag]
        return set(holders)
