"""Liveness of watches: kopf's by responses on its session, the others by the time of their last activity."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from keyturn.runtime.clock import loop_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import aiohttp

_STUCK_AFTER = 180.0
"""Three times the duration after which a watch is renewed."""


def is_stuck(last_alive: float) -> bool:
    """Whether a watch with its last activity at that time of the event loop hangs."""
    return loop_time() - last_alive > _STUCK_AFTER


class WatchLiveness:
    """Time of the last response per watched collection, recorded by kopf's own session."""

    starts: Mapping[str, str]
    """Collections whose watch begins where the list before kopf's first one ended, which needs no sweep."""

    def __init__(self) -> None:
        self.starts = {}
        self.beats: dict[str, float] = {}
        self.relisted = asyncio.Event()
        """Set when kopf lists: kopf gets no objects, and deletions in the gap raise no event, so a sweep is due."""

    def expect(self, paths: Iterable[str]) -> None:
        """Count these collections as watched from now on, so that a watch that never begins hangs, too."""
        for path in paths:
            self.beats.setdefault(path, loop_time())

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        path, is_watch = request.url.raw_path, "watch" in request.url.query
        try:
            response = await handler(request)
        finally:
            # A failure counts as activity: the probe is to find watches that hang.
            if is_watch or path in self.beats:
                self.beats[path] = loop_time()
        is_list = not is_watch and (path in self.beats or "limit" in request.url.query)
        if response.ok and is_list and path not in self.starts:
            self.relisted.set()
        return response

    def problems(self) -> list[str]:
        """Return the watches that hang, for the liveness probe."""
        return [f"watch stuck: {path}" for path, beat in self.beats.items() if is_stuck(beat)]
