"""Benchmark of many simultaneous rotations until every workload is rolled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from keyturn.kube import paths

from .cluster import NAMESPACE, for_each, managed_secret, request_rotation
from .process import running
from .watching import is_ready, watching

if TYPE_CHECKING:
    from .cluster import Cluster, Planes

_DEPLOYMENTS = paths.workloads("Deployment", NAMESPACE)
_MARKER = "keyturn.dev/secret-versions"
_PATIENCE = 120.0


async def rotation(objects: int, debounce: str | None, planes: Planes) -> dict[str, float]:
    """Rotate `objects` Secrets at once, each used by a Deployment of its own."""
    names = [f"rotated-{debounce or 'by-default'}-{number:03}" for number in range(objects)]
    rollout = {"rollout": {"debounce": debounce}} if debounce else {}
    async with planes() as cluster, running(cluster) as operator:
        await prepare(names, rollout, cluster)
        await operator.is_quiet()
        before = await operator.usage()
        figures = await _rotate(names, cluster)
        await operator.is_quiet()
        used = (await operator.usage()).since(before)
    return {
        "objects": objects,
        **figures,
        "cpu_ms_per_object": used.cpu * 1000 / objects,
        "calls_per_object": used.calls / objects,
    }


async def prepare(names: list[str], spec: dict[str, Any], cluster: Cluster) -> None:
    """Have every Secret there and every Deployment settled on it."""

    async def make(name: str) -> None:
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), managed_secret(name, **spec))

    async def deploy(name: str) -> None:
        await cluster.bare.create(_DEPLOYMENTS, deployment(name))

    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        await for_each(names, make)
        await ready.counts(len(names), _PATIENCE)
    async with watching(cluster, _DEPLOYMENTS, is_rolled) as rolled:
        await for_each(names, deploy)
        await rolled.counts(len(names), _PATIENCE)


async def _rotate(names: list[str], cluster: Cluster) -> dict[str, float]:
    async with (
        watching(cluster, _DEPLOYMENTS, is_patched) as patched,
        watching(cluster, _DEPLOYMENTS, lambda body: is_patched(body) and is_rolled(body)) as rolled,
        watching(cluster, paths.managed_secrets(), _is_told) as told,
    ):
        began = asyncio.get_running_loop().time()
        await for_each(names, lambda name: request_rotation(name, cluster))
        return {
            "seconds_to_trigger": asyncio.get_running_loop().time() - began,
            "seconds_until_patched": await patched.counts(len(names), _PATIENCE) - began,
            "seconds_until_rolled": await rolled.counts(len(names), _PATIENCE) - began,
            "seconds_until_told": await told.counts(len(names), _PATIENCE) - began,
        }


def deployment(name: str, replicas: int = 1) -> dict[str, Any]:
    """Make a Deployment whose pods read the Secret of its own name."""
    labels = {"app": name}
    container = {"name": "main", "image": "example.org/none", "envFrom": [{"secretRef": {"name": name}}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def is_patched(body: dict[str, Any], revision: int = 2) -> bool:
    annotations = body["spec"]["template"]["metadata"].get("annotations", {})
    return f"{body['metadata']['name']}={revision}" in annotations.get(_MARKER, "")


def is_rolled(body: dict[str, Any]) -> bool:
    """Say what `kubectl rollout status` calls successfully rolled out."""
    status = body.get("status", {})
    return bool(
        status.get("observedGeneration", 0) >= body["metadata"]["generation"]
        and status.get("replicas") == status.get("updatedReplicas") == status.get("availableReplicas")
        and status.get("replicas") == body["spec"]["replicas"]
    )


def _is_told(body: dict[str, Any]) -> bool:
    """Say whether the status speaks of a second revision that every workload runs."""
    history = body.get("status", {}).get("history", ())
    return any(entry["revision"] == 2 for entry in history)  # noqa: PLR2004
