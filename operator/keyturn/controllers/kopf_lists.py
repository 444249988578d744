"""Responses of the API server to kopf: lists are empty and have only the version from which kopf starts its watches.

`Upkeep` lists the objects in pages that are bounded in bytes, before kopf starts and after each of kopf's lists.
kopf would keep the objects of a page until its workers have handled each.

A 404 for a kind, for example while its CRD is replaced, becomes a 503: kopf retries after a 503, but ends all of its
watches after a 404.
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
    """Response to kopf: a list has one empty page, and 404 becomes 503."""

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
