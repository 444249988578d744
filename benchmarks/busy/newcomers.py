"""New objects of other tenants while the operator has work, and how long each waits until it is Ready."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from contextlib import suppress
from typing import TYPE_CHECKING

from benchmarks.cluster import connected, managed_secret
from benchmarks.load import percentiles
from benchmarks.watching import is_ready, watching
from keyturn.kube import paths

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from typing import Any, Self

    from benchmarks.cluster import Cluster
    from benchmarks.process import Operator

_LABEL = "bench.keyturn.dev/newcomer"
_EVERY = 0.25
_IDLE, _IDLE_EVERY = 2.0, 0.5
_PATIENCE = 120.0


class Newcomers:
    """Tenants that create an object each in turn."""

    def __init__(self, tenants: Iterable[str], usual: float, cluster: Cluster) -> None:
        self._tenants, self._usual, self._cluster = tenants, usual, cluster

    @classmethod
    async def of_idle(cls, tenants: Iterable[str], operator: Operator, cluster: Cluster) -> Self:
        """Measure how long a newcomer of an idle operator waits."""
        left = iter(tenants)
        await operator.is_quiet()
        idle = await _waits("idle", left, asyncio.sleep(_IDLE), cluster, _IDLE_EVERY)
        return cls(left, statistics.median(idle), cluster)

    async def during(self, load: Coroutine[Any, Any, None], every: float = _EVERY) -> dict[str, float]:
        """Return how long newcomers wait during a load."""
        busy = await _waits("busy", self._tenants, load, self._cluster, every)
        return {
            "samples": len(busy),
            **percentiles(busy),
            "longest_seconds": max(busy),
            "delay_seconds": max(busy) - self._usual,
        }


async def _waits(
    name: str, tenants: Iterable[str], load: Coroutine[Any, Any, None], cluster: Cluster, every: float
) -> list[float]:
    """Create an object for a tenant every so many seconds until the load ends; return how long each took.

    They have a connection and a watch of their own, so that none waits for the load in this process.
    """
    working = asyncio.ensure_future(load)
    try:
        async with (
            connected(cluster.plane, cluster.operator_kubeconfig, cluster.folder) as own,
            watching(own, paths.managed_secrets(), is_ready, {"labelSelector": f"{_LABEL}={name}"}) as ready,
        ):
            created = await _create_until(working, name, tenants, own, every)
            await ready.counts(len(created), _PATIENCE)
        await working
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    return [ready.passed[one] - began for one, began in created.items()]


async def _create_until(
    working: asyncio.Future[None], name: str, tenants: Iterable[str], cluster: Cluster, every: float
) -> dict[str, float]:
    """Create objects; return when the call for each began."""
    created: dict[str, float] = {}
    loop = asyncio.get_running_loop()

    async def create(number: int, namespace: str) -> None:
        body = managed_secret(f"{name}-{number:04}")
        body["metadata"] |= {"namespace": namespace, "labels": {_LABEL: name}}
        created[body["metadata"]["name"]] = loop.time()
        await cluster.bare.create(paths.managed_secrets(namespace), body)

    async with asyncio.TaskGroup() as group:
        for number, namespace in zip(itertools.count(), tenants, strict=False):
            group.create_task(create(number, namespace))
            await asyncio.wait([working], timeout=every)
            if working.done():
                break
    return created
