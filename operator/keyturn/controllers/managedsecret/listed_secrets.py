"""Secrets that a list has returned, until the pass of their ManagedSecret takes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.keys import ObjectKey
    from keyturn.kube.client import Body

__all__ = ["ListedSecrets"]


class ListedSecrets:
    """Secrets with values by ManagedSecret and name; each is taken once, and none outlives the next pass."""

    def __init__(self) -> None:
        self._bodies: dict[ObjectKey, dict[str, Body]] = {}
        self._empty = asyncio.Event()

    def put(self, key: ObjectKey, bodies: Mapping[str, Body]) -> None:
        """Keep the Secrets of an object whose pass is about to start."""
        self._bodies[key] = dict(bodies)

    def take(self, key: ObjectKey, name: str) -> Body | None:
        """Remove and return a Secret, if the list has returned it."""
        bodies = self._bodies.get(key)
        if bodies is None:
            return None
        body = bodies.pop(name, None)
        if not bodies:
            self.drop(key)
        return body

    def drop(self, key: ObjectKey) -> None:
        """Drop the Secrets of an object that its pass has not taken."""
        if self._bodies.pop(key, None) is not None and not self._bodies:
            self._empty.set()

    def clear(self) -> None:
        """Drop all Secrets."""
        self._bodies.clear()
        self._empty.set()

    async def wait_until_empty(self) -> None:
        """Wait until all Secrets are taken or dropped."""
        if self._bodies:
            self._empty.clear()
            await self._empty.wait()
