"""Whose turn it is among the ManagedSecrets that are large: few at a time, so that no more of them are in memory.

One of each namespace in turn; who waits holds no worker, and is woken.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.core.keys import ObjectKey

__all__ = ["LargeOnes"]

_AT_ONCE: Final = 4


class LargeOnes:
    """Four at a time, and one of each namespace."""

    def __init__(self, wake: Callable[[ObjectKey], None]) -> None:
        """Take `wake` as what has an object looked at."""
        self._wake = wake
        self._inside: dict[str, ObjectKey] = {}
        """By namespace."""
        self._waiting: dict[str, deque[ObjectKey]] = {}
        """By namespace, in the order in which they come to their next turn."""

    def has_turn(self, key: ObjectKey) -> bool:
        return self._inside.get(key.namespace) == key

    def enter(self, key: ObjectKey) -> bool:
        """Say whether it is the turn of `key`, until it leaves; else it is woken when that comes."""
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
        """End the turn of `key`, if it has one, and wake whose turn is next."""
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
        """Drop an object that is gone."""
        waiting = self._waiting.get(key.namespace, deque())
        if key in waiting:
            waiting.remove(key)
            if not waiting:
                del self._waiting[key.namespace]
        self.leave(key)

    def _has_room(self, namespace: str) -> bool:
        return len(self._inside) < _AT_ONCE and namespace not in self._inside
