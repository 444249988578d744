"""Measures the machine's speed, so that bounds of processor time hold on a slow machine."""

from __future__ import annotations

import statistics
import time

_TURNS = 400_000
_AT_REST = 0.0135
"""Seconds that so many turns take on the machine for which the bounds were set, while nobody else uses it."""


def pace() -> float:
    """Return by how much longer the same work takes now; never less than 1."""
    return max(1.0, statistics.median(_took() for _ in range(5)) / _AT_REST)


def _took() -> float:
    began = time.process_time()
    total = 0
    for number in range(_TURNS):
        total += number
    return time.process_time() - began
