"""Benchmark of new objects: rate until Ready, and cost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from keyturn.kube import paths

from . import floor
from .cluster import NAMESPACE, for_each, managed_secret
from .process import running
from .watching import is_ready, watching

if TYPE_CHECKING:
    from .cluster import Bare, Cluster, Planes
    from .process import Operator


async def creation(objects: int, planes: Planes) -> dict[str, float]:
    """Time the floor and the operator, each on a control plane of its own."""
    async with planes() as cluster:
        bare = objects / await floor.floor(objects, cluster)
    async with planes() as cluster, running(cluster) as operator:
        figures = await created(objects, cluster, operator)
    return compared(objects, bare, figures)


def compared(objects: int, bare: float, figures: dict[str, float]) -> dict[str, float]:
    """Add the rate and its share of the floor's, which is `bare` objects per second."""
    rate = objects / figures["seconds"]
    return {
        "objects": objects,
        "floor_per_second": bare,
        "per_second": rate,
        "share_of_floor": rate / bare,
        **figures,
    }


# The operator


async def created(objects: int, cluster: Cluster, operator: Operator) -> dict[str, float]:
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
