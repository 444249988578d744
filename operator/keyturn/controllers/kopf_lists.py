"""What kopf sees of the API server's answers: lists that hold nothing but the version from which its watches start.

The objects come by lists of our own, in pages that are bounded in bytes, before kopf starts and after each of its
lists (`upkeep`). kopf would keep the objects of a page until its workers have looked at each.

A kind that is not served, such as while its CRD is replaced, is away for a while: kopf asks again after a 503, but
ends all of its watches after a 404.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from typing import Self

    from aiohttp.connector import Connection

__all__ = ["WatchOnlyResponse"]


class WatchOnlyResponse(aiohttp.ClientResponse):
    """An answer to kopf: a list ends with its first page and is empty, and nothing is absent for good."""

    async def start(self, connection: Connection) -> Self:
        await super().start(connection)
        if self.status == HTTPStatus.NOT_FOUND:
            self.status = HTTPStatus.SERVICE_UNAVAILABLE
        return self

    async def json(self, **settings: Any) -> Any:
        body = await super().json(**settings)
        if not isinstance(body, dict) or "items" not in body:
            return body
        return {**body, "items": [], "metadata": {**body.get("metadata", {}), "continue": ""}}
