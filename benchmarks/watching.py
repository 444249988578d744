"""Waits until a number of objects has reached a state, by a watch of its own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from keyturn.kube import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    from .cluster import Cluster

_PAUSE = 0.1
_WATCH_SECONDS = 60


class Crowd:
    """The objects of a collection that pass a test, and when each first did; and when each was deleted."""

    def __init__(self, passes: Callable[[dict[str, Any]], bool]) -> None:
        self._passes = passes
        self._changed = asyncio.Event()
        self.passed: dict[str, float] = {}
        self.versions: dict[str, int] = {}
        """The `resourceVersion` with which each passed; those of all kinds are in one order."""
        self.gone: dict[str, float] = {}

    def saw(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        if name not in self.passed and self._passes(body):
            self.passed[name] = asyncio.get_running_loop().time()
            self.versions[name] = int(body["metadata"]["resourceVersion"])
            self._changed.set()

    def lost(self, body: dict[str, Any]) -> None:
        self.gone[body["metadata"]["name"]] = asyncio.get_running_loop().time()
        self._changed.set()

    async def counts(self, number: int, patience: float) -> float:
        """Wait until that many have passed; return the loop time of the last."""
        try:
            await self._until(lambda: len(self.passed) >= number, patience)
        except TimeoutError:
            raise TimeoutError(f"{len(self.passed)} of {number} within {patience:.0f} s") from None
        return max(self.passed.values())

    async def loses(self, names: Collection[str], patience: float) -> float:
        """Wait until objects are deleted; return the loop time of the last."""
        await self._until(lambda: self.gone.keys() >= set(names), patience)
        return max(self.gone[name] for name in names)

    async def _until(self, is_so: Callable[[], bool], patience: float) -> None:
        async with asyncio.timeout(patience):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def watching(
    cluster: Cluster,
    path: str,
    passes: Callable[[dict[str, Any]], bool],
    params: Mapping[str, str] | None = None,
) -> AsyncIterator[Crowd]:
    """Watch a collection from now on while the block lasts; `params` may have a `labelSelector`."""
    crowd = Crowd(passes)
    async for page in cluster.api.pages(path, params, limit=1):
        version = page.resource_version
        break
    task = asyncio.create_task(_follow(cluster, path, version, crowd, params))
    try:
        yield crowd
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(
    cluster: Cluster, path: str, version: str, crowd: Crowd, params: Mapping[str, str] | None
) -> None:
    while True:
        try:
            async with aclosing(
                cluster.api.watch(path, version, params, timeout_seconds=_WATCH_SECONDS)
            ) as changes:
                async for kind, body in changes:
                    version = body["metadata"]["resourceVersion"]
                    if kind in {"ADDED", "MODIFIED"}:
                        crowd.saw(body)
                    elif kind == "DELETED":
                        crowd.lost(body)
        except errors.Throttled:
            await asyncio.sleep(_PAUSE)  # the API server has just begun to serve this kind


def among(
    names: Collection[str], passes: Callable[[dict[str, Any]], bool]
) -> Callable[[dict[str, Any]], bool]:
    """Make the test for objects of these names alone; others of the collection change as well."""
    known = frozenset(names)
    return lambda body: body["metadata"]["name"] in known and passes(body)


def has_condition(kind: str) -> Callable[[dict[str, Any]], bool]:
    """Make the test of an object for a condition that is True."""

    def has(body: dict[str, Any]) -> bool:
        conditions = body.get("status", {}).get("conditions", ())
        return any(one["type"] == kind and one["status"] == "True" for one in conditions)

    return has


is_ready = has_condition("Ready")
