"""Whether watches live: kopf's, as seen on its own session, and those of others by their last sign of life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

__all__ = ["WatchLiveness", "is_stuck"]

_STUCK_AFTER = 180.0
"""Three times as long as a watch lasts before it is renewed."""


def is_stuck(last_alive: float) -> bool:
    """Say whether a watch hangs whose last sign of life is of that time of the loop."""
    return asyncio.get_running_loop().time() - last_alive > _STUCK_AFTER


class WatchLiveness:
    """When each watched collection last answered, as seen on kopf's own session."""

    def __init__(self) -> None:
        self.beats: dict[str, float] = {}
        self.relisted = asyncio.Event()
        """Set when kopf lists: it is shown no objects, and a deletion in the gap is no event, so we have to sweep."""

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        path, is_watch = request.url.raw_path, "watch" in request.url.query
        try:
            response = await handler(request)
        finally:
            # A failure is a sign of life too: what liveness looks for is a watch that hangs.
            if is_watch or path in self.beats:
                self.beats[path] = asyncio.get_running_loop().time()
        if response.ok and not is_watch and (path in self.beats or "limit" in request.url.query):
            self.relisted.set()
        return response

    def problems(self) -> list[str]:
        """Name the watches that hang."""
        return [f"watch stuck: {path}" for path, beat in self.beats.items() if is_stuck(beat)]
