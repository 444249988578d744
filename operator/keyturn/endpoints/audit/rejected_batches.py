"""Which batches were sent back for later, and how much of that never came again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final, NamedTuple

__all__ = ["Deferred"]

_PATIENCE: Final = 300.0
"""Seconds; the API server tries a batch five times within two minutes, and then gives it up."""
_MOST: Final = 1_000


class _Batch(NamedTuple):
    events: int
    refused: float


class Deferred:
    """Batches by their digests: the API server sends the same bytes again."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: OrderedDict[bytes, _Batch] = OrderedDict()

    def send_back(self, body: bytes, events: int, now: float) -> None:
        """Remember a batch that is refused for now; one that is refused again is awaited anew."""
        digest = _digest(body)
        self._waiting.pop(digest, None)
        self._waiting[digest] = _Batch(events, now)

    def arrived(self, body: bytes) -> None:
        """Forget a batch that is taken."""
        if self._waiting:
            self._waiting.pop(_digest(body), None)

    def lost(self, now: float) -> int:
        """Return how many events are given up by now, each once."""
        events = 0
        while self._waiting:
            digest, oldest = next(iter(self._waiting.items()))
            if now - oldest.refused < _PATIENCE and len(self._waiting) <= _MOST:
                break
            del self._waiting[digest]
            events += oldest.events
        return events


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()
