"""Responses of the API server to kopf, changed where kopf would keep many objects or end its watches.

Lists are empty and have only the version from which kopf starts its watches. `Upkeep` lists the objects in pages
that are bounded in bytes, before kopf starts and after each of kopf's lists. kopf would keep the objects of a page
until its workers have handled each.

A 404 for a kind, for example while its CRD is replaced, becomes a 503: kopf retries after a 503, but ends all of its
watches after a 404. An error event of a watch, for example of an etcd that is away, gets the code 410: kopf lists and
watches again after a 410, as client-go's reflector does after each error event, but ends after any other.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from aiohttp.connector import Connection

__all__ = ["WatchOnlyResponse"]

_ERROR = re.compile(rb'^\{"type":"ERROR".*$', re.MULTILINE)
_EXPIRED = b'{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410}}'


class WatchOnlyResponse(aiohttp.ClientResponse):
    """Response to kopf: a list has one empty page, 404 becomes 503, and an error event has the code 410."""

    async def start(self, connection: Connection) -> Self:
        await super().start(connection)
        if self.status == HTTPStatus.NOT_FOUND:
            self.status = HTTPStatus.SERVICE_UNAVAILABLE
        if "watch" in self.url.query:
            self.content = _Events(self.content)  # type: ignore[assignment]  # kopf only reads its chunks
        return self

    async def json(self, **settings: Any) -> Any:
        body = await super().json(**settings)
        if not isinstance(body, dict) or "items" not in body:
            return body
        return {**body, "items": [], "metadata": {**body.get("metadata", {}), "continue": ""}}


class _Events:
    """Body of a watch, one event per line, whose error events have the code 410."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in self._content.iter_chunked(size):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                yield _ERROR.sub(_EXPIRED, lines) + newline
        if rest:
            yield rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)
