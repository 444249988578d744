"""Monotonic time, the one clock for pauses, limits and ages, and random parts of pauses.

Clients that fail together do not return together.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from itertools import count

from keyturn.core.times import backoff


def loop_time() -> float:
    """Return the event loop's time in seconds, which a change of the wall clock does not move."""
    return asyncio.get_running_loop().time()


def jittered(pause: float, least: float = 0.5, chance: Callable[[], float] = random.random) -> float:
    """Return a random part of a pause, from the share `least` of it to all of it."""
    return pause * (least + (1 - least) * chance())


def pauses(first: float, longest: float) -> Iterator[float]:
    """Yield the pauses between endless attempts: exponential back-off, of which half is jitter."""
    return (jittered(backoff(first, attempts, longest)) for attempts in count(1))
