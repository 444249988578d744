"""Circuit breaker of database servers: one without an answer gets one attempt per pause and namespace.

That of stores, which counts single requests, is in `stores.circuit_breaker`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.core.backoff import backoff

if TYPE_CHECKING:
    from collections.abc import Hashable
    from datetime import datetime

    from keyturn.core.keys import ObjectKey

_MAX_FAILURES: Final = 3
"""Consecutive operations without an answer after which a server counts as down."""
_FIRST_PAUSE: Final = timedelta(seconds=5)
_LONGEST_PAUSE: Final = timedelta(minutes=2)
_MOST_SERVERS: Final = 1024
"""Servers above which those are dropped that were not asked for an hour, such as of deleted targets."""
_UNUSED_AFTER: Final = timedelta(hours=1)


@dataclass(slots=True)
class _Server:
    asked: datetime
    """When the last operation failed."""
    failures: int = 0
    again: datetime | None = None
    """When the next attempt may begin; None while the server answers."""
    waiting: set[ObjectKey] = field(default_factory=set)
    """Objects whose operation was not attempted."""

    @property
    def is_down(self) -> bool:
        return self.failures >= _MAX_FAILURES


class ServerBreaker:
    """Servers without an answer, by target and namespace; a server that answers has no entry."""

    def __init__(self) -> None:
        self._servers: dict[Hashable, _Server] = {}

    def admit(self, target: Hashable, key: ObjectKey, now: datetime) -> datetime | None:
        """Return None if an operation may begin, or when the object asks again.

        Of a server that is down, one object per pause is admitted; the others are woken when it answers.
        """
        server = self._servers.get(target)
        if server is None or not server.is_down:
            return None
        if server.again is None or server.again <= now:
            server.again = now + self._pause(server)
            return None
        server.waiting.add(key)
        return now + _LONGEST_PAUSE

    def forget(self, key: ObjectKey) -> None:
        """Drop a deleted object."""
        for server in self._servers.values():
            server.waiting.discard(key)

    def fail(self, target: Hashable, now: datetime) -> None:
        """Record an operation without an answer."""
        if target not in self._servers and len(self._servers) >= _MOST_SERVERS:
            self._drop_unused(now)
        server = self._servers.setdefault(target, _Server(now))
        server.asked = now
        server.failures += 1
        if server.is_down:
            server.again = now + self._pause(server)

    def succeed(self, target: Hashable) -> frozenset[ObjectKey]:
        """Record an answer, whatever it says; return the objects that wait for the server."""
        server = self._servers.pop(target, None)
        return frozenset(server.waiting) if server else frozenset()

    def _drop_unused(self, now: datetime) -> None:
        self._servers = {
            target: server
            for target, server in self._servers.items()
            if server.waiting or server.asked > now - _UNUSED_AFTER
        }

    @staticmethod
    def _pause(server: _Server) -> timedelta:
        return backoff(_FIRST_PAUSE, server.failures - _MAX_FAILURES + 1, _LONGEST_PAUSE)
