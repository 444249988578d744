"""Monotonic time: the one clock for pauses, limits and the age of what a process keeps."""

from __future__ import annotations

import asyncio


def loop_time() -> float:
    """Return the event loop's time in seconds, which a change of the wall clock does not move."""
    return asyncio.get_running_loop().time()
