"""Audit batches answered with 429, and those that were not retried within 5 minutes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final, NamedTuple

__all__ = ["Deferred"]

_RETRY_WINDOW: Final = 300.0
"""Seconds; the API server tries a batch five times within two minutes, then drops it."""
_MAX_BATCHES: Final = 1_000


class _Batch(NamedTuple):
    events: int
    refused: float


class Deferred:
    """Rejected batches by digest: a retry has the same bytes."""

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting: OrderedDict[bytes, _Batch] = OrderedDict()

    def send_back(self, body: bytes, events: int, now: float) -> None:
        """Record a rejected batch; a further rejection restarts its time."""
        digest = _digest(body)
        self._waiting.pop(digest, None)
        self._waiting[digest] = _Batch(events, now)

    def arrived(self, body: bytes) -> None:
        """Remove a batch that was accepted."""
        if self._waiting:
            self._waiting.pop(_digest(body), None)

    def lost(self, now: float) -> int:
        """Return the number of events that are lost by now, each once."""
        events = 0
        while self._waiting:
            digest, oldest = next(iter(self._waiting.items()))
            if now - oldest.refused < _RETRY_WINDOW and len(self._waiting) <= _MAX_BATCHES:
                break
            del self._waiting[digest]
            events += oldest.events
        return events


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
