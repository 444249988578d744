"""Index of equal values across ManagedSecrets, by keyed hashes of this process."""

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

_KEY_BYTES = 32
_TAG_BYTES = 16  # of 32: two different values share a tag with a probability of 2**-128


class ValueIndex:
    """Index of HMAC-SHA256 tags, in memory only.

    The key is random and belongs to the process, so that a tag has no meaning elsewhere. After a start each value
    must be read once before the index is complete.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._tags: dict[ObjectKey, frozenset[tuple[str, bytes]]] = {}
        self._holders: defaultdict[bytes, set[ObjectKey]] = defaultdict(set)
        self._unread: set[ObjectKey] | None = None
        self._waiting: set[ObjectKey] = set()

    def expect(self, keys: Iterable[ObjectKey]) -> None:
        """Set the objects that exist at the start."""
        self._unread = set(keys) - self._tags.keys()

    @property
    def is_complete(self) -> bool:
        """Whether all objects of the start were read, so that a value without a match is unique."""
        return self._unread is not None and not self._unread

    def put(self, key: ObjectKey, values: Iterable[tuple[str, Value]]) -> set[ObjectKey]:
        """Set the named values of an object; return the other objects whose matches changed."""
        fresh = frozenset((name, self._tag(value)) for name, value in values)
        before = self._tags.pop(key, frozenset())
        if fresh:
            self._tags[key] = fresh
        news = set[ObjectKey]()
        for tag in {tag for _, tag in fresh ^ before}:
            news |= self._update_holders(key, tag, {held for _, held in fresh})
        return news - {key}

    def drop(self, key: ObjectKey) -> set[ObjectKey]:
        """Remove an object; return the other objects whose matches changed."""
        return self.put(key, ()) | self.mark_read(key)

    def equal_values(self, key: ObjectKey) -> dict[str, set[ObjectKey]]:
        """Return the values that other objects have as well, by name, with these objects."""
        held = self._tags.get(key, frozenset())
        shared = {name: self._holders[tag] - {key} for name, tag in held}
        return {name: others for name, others in shared.items() if others}

    def notify_when_complete(self, key: ObjectKey) -> None:
        """Register `key` to be returned once all objects of the start were read."""
        self._waiting.add(key)

    def mark_read(self, key: ObjectKey) -> set[ObjectKey]:
        """Count an object of the start as read; return the registered objects after the last one."""
        if self._unread:
            self._unread.discard(key)
        if not self.is_complete:
            return set()
        waiting, self._waiting = self._waiting, set()
        return waiting

    def _tag(self, value: Value) -> bytes:
        return hmac.digest(self._key, value.reveal(), hashlib.sha256)[:_TAG_BYTES]

    def _update_holders(self, key: ObjectKey, tag: bytes, held: set[bytes]) -> set[ObjectKey]:
        holders = self._holders[tag]
        if tag in held:
            holders.add(key)
        else:
            holders.discard(key)
        if not holders:
            del self._holders[tag]
        return set(holders)
