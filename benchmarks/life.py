"""Benchmark of the life of many objects: new, at rest, rotated, taken over by a standby, and after a restart."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keyturn.kube import paths

from . import floor
from .cluster import NAMESPACE, for_each, request_rotation
from .creation import compared, created
from .process import running
from .watching import among, watching

if TYPE_CHECKING:
    from .cluster import Cluster, Planes
    from .process import Operator, Usage

_SETTLE = 3.0
_TOLD_WITHIN = 180.0
_FLOOR_AT_MOST = 10_000
"""More objects of the floor take long, and change its rate little."""
_ROTATED_AT_MOST = 1000
_PATIENCE = 300.0


async def life(objects: int, idle: float, planes: Planes) -> dict[str, dict[str, float]]:
    """Create, rest for `idle` seconds, rotate 1,000 at once, kill the leader beside a standby, and restart."""
    async with planes() as cluster:
        bare = min(objects, _FLOOR_AT_MOST)
        floor_per_second = bare / await floor.floor(bare, cluster)
    async with planes() as cluster:
        async with running(cluster) as operator:
            new = compared(objects, floor_per_second, await created(objects, cluster, operator))
            idling = await _rested(idle, operator)
            turned = await _rotated(min(objects, _ROTATED_AT_MOST), cluster, operator)
            await _at_rest(operator)
            async with running(cluster, name="standby", event="watching") as standby:
                taken_over = await _taken_over(operator, standby)
        again = await _restarted(cluster)
    return {"creation": new, "idle": idling, "rotated": turned, "failover": taken_over, "restart": again}


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


async def _rotated(objects: int, cluster: Cluster, operator: Operator) -> dict[str, float]:
    """Rotate some of the objects at once, which no workload consumes."""
    names = floor.names("secret", objects)

    before = await operator.usage()
    async with watching(cluster, paths.managed_secrets(NAMESPACE), among(names, _is_rotated)) as rotated:
        began = asyncio.get_running_loop().time()
        await for_each(names, lambda name: request_rotation(name, cluster))
        seconds = await rotated.counts(objects, _PATIENCE) - began
    used = (await operator.usage()).since(before)
    return {"objects": objects, "seconds": seconds, "cpu_ms_per_object": used.cpu * 1000 / objects}


def _is_rotated(body: dict[str, Any]) -> bool:
    return bool(body.get("status", {}).get("revision") == 2)  # noqa: PLR2004


async def _taken_over(leader: Operator, standby: Operator) -> dict[str, float]:
    """Kill the leader while nothing is due; the standby may take the Lease when its term is over."""
    await standby.is_quiet(_SETTLE)
    waiting, before = standby.memory(), await standby.usage()
    os.kill(leader.pid, signal.SIGKILL)
    began = asyncio.get_running_loop().time()
    await standby.has_logged("leading")
    leading = asyncio.get_running_loop().time() - began
    looked_at = await standby.is_quiet(_SETTLE) - began
    used = (await standby.usage()).since(before)
    return {
        "seconds_until_leading": leading,
        "seconds": looked_at,
        "cpu_seconds": used.cpu,
        "writes": used.writes,
        "standby_rss_mib": waiting["rss"],
        "rss_mib": standby.memory()["rss"],
    }


async def _restarted(cluster: Cluster) -> dict[str, float]:
    """Start the operator again with all objects; nothing has changed, so nothing may be written."""
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
