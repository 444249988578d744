"""What kopf's lists hold: nothing but the version from which its watches start.

The objects come by lists of our own, in pages that are bounded in bytes, before kopf starts and after each of its
lists (`upkeep`). kopf would keep the objects of a page until its workers have looked at each.
"""

from __future__ import annotations

from typing import Any

import aiohttp

__all__ = ["Unfilled"]


class Unfilled(aiohttp.ClientResponse):
    """An answer to kopf, whose lists end with their first page and are empty."""

    async def json(self, **settings: Any) -> Any:
        body = await super().json(**settings)
        if not isinstance(body, dict) or "items" not in body:
            return body
        return {**body, "items": [], "metadata": {**body.get("metadata", {}), "continue": ""}}
