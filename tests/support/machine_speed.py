"""Measures the machine's speed, so that bounds of processor time hold on a slow machine."""

import statistics
import time
from collections.abc import Callable

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


def least_cost(work: Callable[[], object]) -> float:
    """Return the seconds of processor time that `work` takes at least, of five runs: a busy machine adds to some."""

    def cost() -> float:
        began = time.thread_time()
        work()
        return time.thread_time() - began

    return min(cost() for _ in range(5))
