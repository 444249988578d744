"""Whether kopf's watches live, as seen on its own session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Pulse"]

_STUCK_AFTER = 180.0


class Pulse:
    """When each watched collection last answered, as seen on kopf's own session."""

    def __init__(self) -> None:
        self.beats: dict[str, float] = {}
        self.relisted = asyncio.Event()
        """Set when kopf lists again: what was deleted in the gap is no event, so somebody has to sweep."""

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
        if response.ok and not is_watch and path in self.beats:
            self.relisted.set()
        return response

    def problems(self) -> list[str]:
        """Name the watches that have not been renewed for three times the time they last."""
        now = asyncio.get_running_loop().time()
        return [f"watch stuck: {path}" for path, beat in self.beats.items() if now - beat > _STUCK_AFTER]
