"""A request's body that stays here once its sender may no longer write.

A process that was paused wakes up in the midst of what it did: past its look at the fence, before the bytes left.
"""

import asyncio

import aiohttp
from aiohttp.abc import AbstractStreamWriter


class FencedBody(aiohttp.BytesPayload):
    """Bytes that are sent until a loop time, and not at all after it."""

    def __init__(self, data: bytes, until: float) -> None:
        super().__init__(data)
        self._until = until

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # No await lies between this look and the socket; a request without its body is none.
        if asyncio.get_running_loop().time() >= self._until:
            raise TimeoutError
        await super().write_with_length(writer, content_length)
