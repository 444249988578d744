"""Benchmark of the life of many objects: new, at rest, taken over by a standby, and after a restart."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal

from keyturn.kube import paths

from .cluster import (
    NAMESPACE,
    Bare,
    Body,
    Cluster,
    Operator,
    Planes,
    Usage,
    cpu_of,
    for_each,
    is_ready,
    managed_secret,
    memory_of,
    names,
    running,
    secret,
    watching,
)

_SETTLE, _EVENTS_WITHIN = 3.0, 180.0
_FLOOR_AT_MOST = 10_000
"""More objects of the floor take long, and change its rate little."""


async def creation(objects: int, planes: Planes) -> dict[str, float]:
    """Time the floor and the operator, each on a control plane of its own."""
    async with planes() as cluster:
        bare = await floor(objects, cluster)
    async with planes() as cluster, running(cluster) as operator:
        return await _created(objects, bare, cluster, operator)


async def life(objects: int, idle: float, planes: Planes) -> dict[str, dict[str, float]]:
    """Create, rest for `idle` seconds, kill the leader next to a standby, and restart."""
    async with planes() as cluster:
        bare = await floor(min(objects, _FLOOR_AT_MOST), cluster)
    async with planes() as cluster:
        async with running(cluster) as operator:
            figures = {
                "creation": await _created(objects, bare, cluster, operator),
                "idle": await _rested(idle, operator),
            }
            await _at_rest(operator)
            async with running(cluster, name="standby", event="watching") as standby:
                figures["failover"] = await _taken_over(operator, standby)
        figures["restart"] = await _restarted(cluster)
    return figures


async def _created(objects: int, bare: float, cluster: Cluster, operator: Operator) -> dict[str, float]:
    """Create objects as fast as the API server takes them; `bare` is the floor's rate."""
    await operator.is_quiet()
    before = await operator.usage()
    path = paths.managed_secrets(NAMESPACE)
    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        began = asyncio.get_running_loop().time()
        await for_each(names("secret", objects), lambda name: cluster.bare.create(path, managed_secret(name)))
        seconds = await ready.counts(objects, max(60, objects / 20)) - began
    memory = memory_of(operator.pid)
    used = (await operator.usage()).since(before)
    return {
        "objects": objects,
        "floor_per_second": bare,
        "per_second": objects / seconds,
        "share_of_floor": objects / seconds / bare,
        "cpu_ms_per_object": used.cpu * 1000 / objects,
        "calls_per_object": used.calls / objects,
        "rss_mib": memory["rss"],
        "peak_mib": memory["peak"],
    }


async def _rested(idle: float, operator: Operator) -> dict[str, float]:
    before = await _at_rest(operator)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(idle)  # the length of the measurement, not a wait for a state
    used, seconds = (await operator.usage()).since(before), asyncio.get_running_loop().time() - began
    return {
        "seconds": seconds,
        "cpu_percent": 100 * used.cpu / seconds,
        "writes": used.writes,
        "lease_writes": used.lease_writes,
        "rss_mib": memory_of(operator.pid)["rss"],
    }


async def _at_rest(operator: Operator) -> Usage:
    """Wait until nothing is written for a while: the last Events follow long after the work."""
    async with asyncio.timeout(_EVENTS_WITHIN):
        before = await operator.usage()
        while True:
            await operator.is_quiet(_SETTLE)
            now = await operator.usage()
            if now.writes == before.writes:
                return now._replace(
                    cpu=cpu_of(operator.pid)
                )  # the question itself costs some with many objects
            before = now


async def _taken_over(leader: Operator, standby: Operator) -> dict[str, float]:
    """Kill the leader while nothing is due; the standby may take the Lease when its term is over."""
    await standby.is_quiet(_SETTLE)
    waiting, before = memory_of(standby.pid), await standby.usage()
    os.kill(leader.pid, signal.SIGKILL)
    began = asyncio.get_running_loop().time()
    await standby.has_logged("leading")
    leading = asyncio.get_running_loop().time() - began
    seconds = await standby.is_quiet(_SETTLE) - began
    used = (await standby.usage()).since(before)
    return {
        "seconds_until_leading": leading,
        "seconds": seconds,
        "cpu_seconds": used.cpu,
        "writes": used.writes,
        "standby_rss_mib": waiting["rss"],
    }


async def _restarted(cluster: Cluster) -> dict[str, float]:
    """Start the operator again with all objects; nothing has changed, so nothing may be written."""
    began = asyncio.get_running_loop().time()
    async with running(cluster) as operator:
        leading = asyncio.get_running_loop().time() - began
        seconds = await operator.is_quiet(_SETTLE) - began
        memory, used = memory_of(operator.pid), await operator.usage()
    return {
        "seconds_until_leading": leading,
        "seconds": seconds,
        "cpu_seconds": used.cpu,
        "reads": used.calls - used.writes,
        "requests": used.requests,
        "writes": used.writes,
        "rss_mib": memory["rss"],
    }


# The floor


async def floor(objects: int, cluster: Cluster) -> float:
    """Create the same objects and make the same writes with a client that decides nothing; return its rate."""
    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        began = asyncio.get_running_loop().time()
        await for_each(names("floor", objects), lambda name: _bare_object(name, cluster.bare))
        return objects / (await ready.counts(objects, patience=30) - began)


async def _bare_object(name: str, bare: Bare) -> None:
    await bare.create(paths.managed_secrets(NAMESPACE), managed_secret(name))
    await bare.create(paths.secrets(NAMESPACE), _secret(f"{name}-keyturn", "state", 680))
    await bare.create(paths.secrets(NAMESPACE), _secret(name, "password", 32))
    await bare.merge(f"{paths.managed_secret(NAMESPACE, name)}/status", {"status": _status(name)})


def _secret(name: str, key: str, size: int) -> Body:
    """Make a Secret as large as the operator's own; `size` is that of its value, in bytes."""
    marks = {"labels": {"app.kubernetes.io/part-of": "benchmark"}, "annotations": {"benchmark": "x" * 60}}
    return secret(name, {key: secrets.token_bytes(size)}, **marks)


def _status(name: str) -> Body:
    """Return a status as large as the operator's."""
    now = "2026-01-01T00:00:00Z"
    conditions = (
        ("Ready", "True", "Published", "the Secret holds revision 1 with every key"),
        ("Rotating", "False", "Idle", "no rotation is in progress"),
        ("WorkloadsCurrent", "True", "NoConsumers", "0 of 0 workloads run the current revision"),
        ("PolicyCompliant", "False", "noSchedule", "noSchedule: password has no schedule; write one here"),
    )
    history = {"revision": 1, "reason": "Created", "startedAt": now, "finishedAt": now, "result": "Succeeded"}
    return {
        "observedGeneration": 1,
        "secretName": name,
        "revision": 1,
        "lastRotationTime": now,
        "overdue": False,
        "history": [history],
        "conditions": [
            {
                **dict(zip(("type", "status", "reason", "message"), one, strict=True)),
                "lastTransitionTime": now,
                "observedGeneration": 1,
            }
            for one in conditions
        ],
    }
