"""Benchmark of an emergency over many secrets, next to a bare restart of the same Deployments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from keyturn.kube import paths

from .cluster import NAMESPACE, for_each
from .process import running
from .rotation import is_patched, is_rolled, prepare
from .watching import watching

if TYPE_CHECKING:
    from .cluster import Cluster, Planes

_DEPLOYMENTS = paths.workloads("Deployment", NAMESPACE)
_NAME = "incident"
_PATIENCE = 300.0
_A_SECOND = 1.1
# What a rotation would wait for at any other time.
_SLOW: dict[str, Any] = {
    "rotation": {"windows": [{"cron": "0 0 1 1 *", "duration": "1m"}], "overlap": "24h"},
    "rollout": {"debounce": "1h"},
}


async def emergency(objects: int, planes: Planes) -> dict[str, float]:
    """Declare one emergency over `objects` Secrets, each used by a Deployment of its own."""
    names = [f"exposed-{number:03}" for number in range(objects)]
    async with planes() as cluster, running(cluster) as operator:
        await prepare(names, _SLOW, cluster)
        await operator.is_quiet()
        floor = await _restart_bare(names, cluster)
        await operator.is_quiet()
        before = await operator.usage()
        figures = await _declare(names, cluster)
        await operator.is_quiet()
        used = (await operator.usage()).since(before)
        await cluster.bare.delete(paths.emergency_rotation(NAMESPACE, _NAME))
    return {
        "objects": objects,
        "floor_seconds_until_rolled": floor,
        **figures,
        "share_of_floor": floor / figures["seconds_until_rolled"],
        "cpu_ms_per_object": used.cpu * 1000 / objects,
        "calls_per_object": used.calls / objects,
    }


async def _restart_bare(names: list[str], cluster: Cluster) -> float:
    """Restart every Deployment as `kubectl rollout restart` does; return how long that took."""
    restarted = "kubectl.kubernetes.io/restartedAt"
    change = {"spec": {"template": {"metadata": {"annotations": {restarted: "now"}}}}}

    def is_through(body: dict[str, Any]) -> bool:
        annotations = body["spec"]["template"]["metadata"].get("annotations", {})
        return restarted in annotations and is_rolled(body)

    async def restart(name: str) -> None:
        await cluster.bare.merge(paths.workload("Deployment", NAMESPACE, name), change)

    async with watching(cluster, _DEPLOYMENTS, is_through) as through:
        began = asyncio.get_running_loop().time()
        await for_each(names, restart)
        return await through.counts(len(names), _PATIENCE) - began


async def _declare(names: list[str], cluster: Cluster) -> dict[str, float]:
    await asyncio.sleep(_A_SECOND)  # what is there was made in an earlier second
    body = {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "EmergencyRotation",
        "metadata": {"name": _NAME, "namespace": NAMESPACE},
        "spec": {"reason": "a benchmark", "selector": {}},
    }
    async with (
        watching(cluster, paths.secrets(NAMESPACE), _is_published) as rotated,
        watching(cluster, _DEPLOYMENTS, is_patched) as patched,
        watching(cluster, _DEPLOYMENTS, lambda one: is_patched(one) and is_rolled(one)) as rolled,
        watching(cluster, paths.emergency_rotations(NAMESPACE), _is_told) as told,
    ):
        began = asyncio.get_running_loop().time()
        await cluster.bare.create(paths.emergency_rotations(NAMESPACE), body)
        return {
            "seconds_until_rotated": await rotated.counts(len(names), _PATIENCE) - began,
            "seconds_until_patched": await patched.counts(len(names), _PATIENCE) - began,
            "seconds_until_rolled": await rolled.counts(len(names), _PATIENCE) - began,
            "seconds_until_told": await told.counts(1, _PATIENCE) - began,
        }


def _is_published(body: dict[str, Any]) -> bool:
    """Say whether it is the second revision of a Secret for workloads."""
    return bool((body["metadata"].get("annotations") or {}).get("keyturn.dev/revision") == "2")


def _is_told(body: dict[str, Any]) -> bool:
    return bool((body.get("status") or {}).get("servicesUpdatedAt"))
