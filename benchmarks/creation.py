"""Benchmark of new objects: rate until Ready, cost, and the operator's cost at rest."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.kube import paths

from . import floor
from .cluster import NAMESPACE, for_each, managed_secret
from .process import running
from .watching import is_ready, watching

if TYPE_CHECKING:
    from .cluster import Bare, Cluster, Planes
    from .process import Operator, Usage

__all__ = ["creation", "life"]

_SETTLE = 3.0
_TOLD_WITHIN = 180.0


async def creation(objects: int, planes: Planes) -> dict[str, float]:
    """Time the floor and the operator, each on a control plane of its own."""
    async with planes() as cluster:
        bare = await floor.floor(objects, cluster)
    async with planes() as cluster, running(cluster) as operator:
        figures = await _created(objects, cluster, operator)
    return _compared(objects, bare, figures)


async def life(objects: int, idle: float, planes: Planes) -> dict[str, dict[str, float]]:
    """Create, rest for `idle` seconds, and restart with all of the objects."""
    async with planes() as cluster:
        bare = await floor.floor(objects, cluster)
    async with planes() as cluster:
        async with running(cluster) as operator:
            created = _compared(objects, bare, await _created(objects, cluster, operator))
            rested = await _rested(idle, operator)
        restarted = await _restarted(cluster)
    return {"creation": created, "idle": rested, "restart": restarted}


def _compared(objects: int, bare: float, figures: dict[str, float]) -> dict[str, float]:
    return {
        "objects": objects,
        "floor_seconds": bare,
        "floor_per_second": objects / bare,
        "per_second": objects / figures["seconds"],
        "share_of_floor": bare / figures["seconds"],
        **figures,
    }


# The operator


async def _created(objects: int, cluster: Cluster, operator: Operator) -> dict[str, float]:
    """Create objects as fast as the API server takes them; the operator competes with that for its time."""
    await operator.is_quiet()
    before = await operator.usage()
    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        began = asyncio.get_running_loop().time()
        await for_each(floor.names("secret", objects), lambda name: _create(name, cluster.bare))
        made = asyncio.get_running_loop().time() - began
        seconds = await ready.counts(objects, patience=max(60, objects / 20)) - began
    memory = operator.memory()
    used = (await operator.usage()).since(before)
    return {
        "seconds": seconds,
        "seconds_to_create": made,
        "cpu_ms_per_object": used.cpu * 1000 / objects,
        "calls_per_object": used.calls / objects,
        "rss_mib": memory["rss"],
        "peak_mib": memory["peak"],
    }


async def _create(name: str, bare: Bare) -> None:
    await bare.create(paths.managed_secrets(NAMESPACE), managed_secret(name))


async def _rested(idle: float, operator: Operator) -> dict[str, float]:
    """Measure the operator when all is done and told."""
    before = await _at_rest(operator)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(idle)  # the length of the measurement, not a wait for a state
    used, seconds = (await operator.usage()).since(before), asyncio.get_running_loop().time() - began
    return {
        "seconds": seconds,
        "cpu_percent": 100 * used.cpu / seconds,
        "writes": used.writes,
        "lease_writes": used.lease_writes,
        "rss_mib": operator.memory()["rss"],
    }


async def _at_rest(operator: Operator) -> Usage:
    """Wait until nothing was written between two looks: the last events are told long after the work."""
    async with asyncio.timeout(_TOLD_WITHIN):
        before = await operator.usage()
        while True:
            await operator.is_quiet(_SETTLE)
            now = await operator.usage()
            if now.writes == before.writes:
                return replace(now, cpu=operator.cpu())  # the question itself costs some with many objects
            before = now


async def _restarted(cluster: Cluster) -> dict[str, float]:
    """Start the operator anew over all objects; nothing has changed, so nothing may be written."""
    began = asyncio.get_running_loop().time()
    async with running(cluster) as operator:
        leading = asyncio.get_running_loop().time() - began
        caught_up = await operator.is_quiet(_SETTLE) - began
        memory, used = operator.memory(), await operator.usage()
    return {
        "seconds_until_leading": leading,
        "seconds": caught_up,
        "cpu_seconds": used.cpu,
        "reads": used.calls - used.writes,
        "requests": used.requests,
        "writes": used.writes,
        "rss_mib": memory["rss"],
        "peak_mib": memory["peak"],
    }
