"""Waits until a condition holds, with a deadline."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable


class HarnessError(SandboxError):
    """A command failed, or a condition did not hold in time; the message says which."""


_TIMEOUT = 60.0
_POLL_INTERVAL, _LONG_POLL_INTERVAL = 0.05, 0.2
_SHORT_WAIT = 2.0
"""Seconds after which a wait looks less often: each look takes processor time from what it waits for."""
_ASYNC_POLL_INTERVAL = 0.02


def eventually(
    holds: Callable[[], bool],
    what: str = "it",
    timeout: float = _TIMEOUT,
    instead: Callable[[], object] | None = None,
) -> None:
    """Wait until a condition holds.

    Raises:
        HarnessError: The timeout is over; the message has `what`, and what `instead` returns.
    """
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        if waited >= timeout:
            found = f": {instead()}" if instead else ""
            raise HarnessError(f"{what} did not come true within {timeout:.0f} s{found}")
        time.sleep(_POLL_INTERVAL if waited < _SHORT_WAIT else _LONG_POLL_INTERVAL)


async def until(holds: Callable[[], bool], timeout: float = _TIMEOUT) -> None:  # noqa: ASYNC109  # as `eventually`
    """Wait in asyncio until a condition holds.

    Raises:
        TimeoutError: The timeout is over.
    """
    async with asyncio.timeout(timeout):
        while not holds():  # noqa: ASYNC110  # what is outside this process sets no events
            await asyncio.sleep(_ASYNC_POLL_INTERVAL)
