"""Benchmark of new objects: rate until Ready, cost, and the operator's cost at rest."""

from __future__ import annotations

import asyncio
import base64
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from keyturn.kube import paths

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
        floor = await _floor(objects, cluster)
    async with planes() as cluster, running(cluster) as operator:
        figures = await _created(objects, cluster, operator)
    return _compared(objects, floor, figures)


async def life(objects: int, idle: float, planes: Planes) -> dict[str, dict[str, float]]:
    """Create, rest for `idle` seconds, and restart with all of the objects."""
    async with planes() as cluster:
        floor = await _floor(objects, cluster)
    async with planes() as cluster:
        async with running(cluster) as operator:
            created = _compared(objects, floor, await _created(objects, cluster, operator))
            rested = await _rested(idle, operator)
        restarted = await _restarted(cluster)
    return {"creation": created, "idle": rested, "restart": restarted}


def _compared(objects: int, floor: float, figures: dict[str, float]) -> dict[str, float]:
    return {
        "objects": objects,
        "floor_seconds": floor,
        "floor_per_second": objects / floor,
        "per_second": objects / figures["seconds"],
        "share_of_floor": floor / figures["seconds"],
        **figures,
    }


def _names(kind: str, objects: int) -> list[str]:
    return [f"{kind}-{number:05}" for number in range(objects)]


# The floor


async def _floor(objects: int, cluster: Cluster) -> float:
    """Make the same objects and the same writes with one client that decides nothing and reads nothing."""
    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        began = asyncio.get_running_loop().time()
        await for_each(_names("floor", objects), lambda name: _bare_object(name, cluster.bare))
        return await ready.counts(objects, patience=30) - began


async def _bare_object(name: str, bare: Bare) -> None:
    await bare.create(paths.managed_secrets(NAMESPACE), managed_secret(name))
    await bare.create(paths.secrets(NAMESPACE), _secret(f"{name}-keyturn", "state", 680))
    await bare.create(paths.secrets(NAMESPACE), _secret(name, "password", 32))
    await bare.merge(paths.managed_secret_status(NAMESPACE, name), {"status": _status(name)})


def _secret(name: str, key: str, size: int) -> dict[str, Any]:
    """Make a Secret as large as the operator's own."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app.kubernetes.io/part-of": "benchmark"},
            "annotations": {"benchmark": "x" * 60},
        },
        "data": {key: base64.b64encode(secrets.token_bytes(size)).decode()},
    }


def _status(name: str) -> dict[str, Any]:
    """Write the status that the operator writes."""
    now = "2026-01-01T00:00:00Z"
    conditions = (
        ("Ready", "True", "Published", "the Secret holds revision 1 with every key"),
        ("Rotating", "False", "Idle", "no rotation is in progress"),
        ("WorkloadsCurrent", "True", "NoConsumers", "0 of 0 workloads run the current revision"),
        (
            "PolicyCompliant",
            "False",
            "noSchedule",
            "noSchedule: nothing says when password rotates; write one",
        ),
    )
    keys = ("type", "status", "reason", "message")
    return {
        "observedGeneration": 1,
        "secretName": name,
        "revision": 1,
        "lastRotationTime": now,
        "overdue": False,
        "history": [
            {"revision": 1, "reason": "Created", "startedAt": now, "finishedAt": now, "result": "Succeeded"}
        ],
        "conditions": [
            {**dict(zip(keys, one, strict=True)), "lastTransitionTime": now, "observedGeneration": 1}
            for one in conditions
        ],
    }


# The operator


async def _created(objects: int, cluster: Cluster, operator: Operator) -> dict[str, float]:
    """Create objects as fast as the API server takes them; the operator competes with that for its time."""
    await operator.is_quiet()
    before = await operator.usage()
    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        began = asyncio.get_running_loop().time()
        await for_each(_names("secret", objects), lambda name: _create(name, cluster.bare))
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
        "writes": used.writes,
        "rss_mib": memory["rss"],
        "peak_mib": memory["peak"],
    }
