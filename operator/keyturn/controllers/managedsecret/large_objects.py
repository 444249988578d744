"""Concurrency limit for large ManagedSecrets, which bounds memory.

Round-robin between namespaces. A waiting object holds no worker; its turn adds it to the work queue.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.core.keys import ObjectKey

_MAX_CONCURRENT: Final = 4


class LargeOnes:
    """At most four large objects at a time, and one per namespace."""

    def __init__(self, wake: Callable[[ObjectKey], None]) -> None:
        """`wake` adds an object to the work queue."""
        self._wake = wake
        self._inside: dict[str, ObjectKey] = {}
        """By namespace."""
        self._waiting: dict[str, deque[ObjectKey]] = {}
        """By namespace, in round-robin order."""

    def has_turn(self, key: ObjectKey) -> bool:
        return self._inside.get(key.namespace) == key

    def enter(self, key: ObjectKey) -> bool:
        """Whether `key` may be reconciled now, until `leave`; if not, it is enqueued when its turn comes."""
        if self.has_turn(key):
            return True
        waiting = self._waiting.get(key.namespace)
        if waiting is None and self._has_room(key.namespace):
            self._inside[key.namespace] = key
            return True
        if waiting is None:
            self._waiting[key.namespace] = deque([key])
        elif key not in waiting:
            waiting.append(key)
        return False

    def leave(self, key: ObjectKey) -> None:
        """End the turn of `key`, if it has one, and wake the next object."""
        if not self.has_turn(key):
            return
        del self._inside[key.namespace]
        while (name := next(filter(self._has_room, self._waiting), None)) is not None:
            waiting = self._waiting.pop(name)
            self._inside[name] = waiting.popleft()
            if waiting:
                self._waiting[name] = waiting
            self._wake(self._inside[name])

    def forget(self, key: ObjectKey) -> None:
        """Drop a deleted object."""
        waiting = self._waiting.get(key.namespace, deque())
        if key in waiting:
            waiting.remove(key)
            if not waiting:
                del self._waiting[key.namespace]
        self.leave(key)

    def _has_room(self, namespace: str) -> bool:
        return len(self._inside) < _MAX_CONCURRENT and namespace not in self._inside
