"""Benchmarks of rotations: many at once, an emergency over many secrets, and the reaction of an idle operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from keyturn.kube import paths

from .cluster import (
    NAMESPACE,
    Body,
    Cluster,
    Planes,
    Test,
    among,
    create_managed,
    for_each,
    has_revision,
    is_ready,
    keyturn_object,
    managed_secret,
    request_rotation,
    running,
    watching,
)

DEPLOYMENTS = paths.workloads("Deployment", NAMESPACE)
_PATIENCE = 300.0
_INCIDENT = "incident"
_A_SECOND = 1.1
_SLOW: Body = {
    "rotation": {"windows": [{"cron": "0 0 1 1 *", "duration": "1m"}], "overlap": "24h"},
    "rollout": {"debounce": "1h"},
}
"""What a rotation would wait for without an emergency."""


async def rotation(objects: int, planes: Planes) -> dict[str, float]:
    """Rotate `objects` Secrets at once, each used by a Deployment of its own, without debounce."""
    names = [f"rotated-{number:03}" for number in range(objects)]
    async with planes() as cluster, running(cluster) as operator:
        await prepare(names, {"rollout": {"debounce": "0s"}}, cluster)
        await operator.is_quiet()
        async with (
            watching(cluster, DEPLOYMENTS, is_patched) as patched,
            watching(cluster, DEPLOYMENTS, _is_through) as rolled,
            watching(cluster, paths.managed_secrets(), _is_reported) as reported,
        ):
            began = asyncio.get_running_loop().time()
            await for_each(names, lambda name: request_rotation(name, cluster))
            return {
                "objects": objects,
                "seconds_until_patched": await patched.counts(objects, _PATIENCE) - began,
                "seconds_until_rolled": await rolled.counts(objects, _PATIENCE) - began,
                "seconds_until_told": await reported.counts(objects, _PATIENCE) - began,
            }


async def prepare(names: Sequence[str], spec: Body, cluster: Cluster) -> None:
    """Create the objects and a Deployment for each, and wait until all are available."""
    await create_managed(names, cluster, lambda name: managed_secret(name, **spec))
    async with watching(cluster, DEPLOYMENTS, is_rolled) as rolled:
        await for_each(names, lambda name: cluster.bare.create(DEPLOYMENTS, deployment(name)))
        await rolled.counts(len(names), _PATIENCE)


def deployment(name: str, replicas: int = 1, **annotations: str) -> Body:
    """Make a Deployment whose pods read the Secret of its own name."""
    labels = {"app": name}
    container = {"name": "main", "image": "example.org/none", "envFrom": [{"secretRef": {"name": name}}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def is_patched(body: Body, revision: int = 2) -> bool:
    annotations = body["spec"]["template"]["metadata"].get("annotations", {})
    return f"{body['metadata']['name']}={revision}" in annotations.get("keyturn.dev/secret-versions", "")


def is_rolled(body: Body) -> bool:
    """Say what `kubectl rollout status` calls successfully rolled out."""
    status = body.get("status", {})
    return bool(
        status.get("observedGeneration", 0) >= body["metadata"]["generation"]
        and status.get("replicas") == status.get("updatedReplicas") == status.get("availableReplicas")
        and status.get("replicas") == body["spec"]["replicas"]
    )


def _is_through(body: Body) -> bool:
    return is_patched(body) and is_rolled(body)


def _is_reported(body: Body) -> bool:
    """Say whether the status has a second revision that every workload runs."""
    return any(entry["revision"] == 2 for entry in body.get("status", {}).get("history", ()))  # noqa: PLR2004


# An emergency


async def emergency(objects: int, planes: Planes) -> dict[str, float]:
    """Declare one emergency over `objects` Secrets, each used by a Deployment of its own."""
    names, incidents = (
        [f"exposed-{number:03}" for number in range(objects)],
        paths.emergency_rotations(NAMESPACE),
    )
    body = keyturn_object("EmergencyRotation", _INCIDENT, {"reason": "a benchmark", "selector": {}})
    async with planes() as cluster, running(cluster) as operator:
        await prepare(names, _SLOW, cluster)
        await operator.is_quiet()
        await asyncio.sleep(_A_SECOND)  # the values are of an earlier second
        async with (
            watching(cluster, paths.secrets(NAMESPACE), has_revision(2)) as rotated,
            watching(cluster, DEPLOYMENTS, _is_through) as rolled,
            watching(cluster, incidents, _has_updated_services) as reported,
        ):
            began = asyncio.get_running_loop().time()
            await cluster.bare.create(incidents, body)
            figures = {
                "objects": objects,
                "seconds_until_rotated": await rotated.counts(objects, _PATIENCE) - began,
                "seconds_until_rolled": await rolled.counts(objects, _PATIENCE) - began,
                "seconds_until_told": await reported.counts(1, _PATIENCE) - began,
            }
        await cluster.bare.delete(paths.emergency_rotation(NAMESPACE, _INCIDENT))
    return figures


def _has_updated_services(emergency: Body) -> bool:
    return bool((emergency.get("status") or {}).get("servicesUpdatedAt"))


# An idle operator


async def latency(_: int, planes: Planes) -> dict[str, float]:
    """Time a first Secret, then the same one edited, then deleted."""
    name, secrets = "alone", paths.secrets(NAMESPACE)
    path = paths.secret(NAMESPACE, name)
    managed = paths.managed_secrets(NAMESPACE)
    async with planes() as cluster, running(cluster) as operator:

        async def seconds(collection: str, passes: Test, act: Awaitable[None]) -> float:
            """Wait for rest, act, and return how long it took until the object passes the test."""
            await operator.is_quiet()
            async with watching(cluster, collection, among([name], passes)) as crowd:
                began = asyncio.get_running_loop().time()
                await act
                return await crowd.counts(1, 30.0) - began

        first = await seconds(managed, is_ready, cluster.bare.create(managed, managed_secret(name)))
        data = (await cluster.api.get(path))["data"]

        def is_repaired(body: dict[str, Any]) -> bool:
            return bool(body.get("data") == data)

        edit = cluster.bare.merge(path, {"data": {"password": "ZWRpdGVk"}})
        edited = await seconds(secrets, is_repaired, edit)
        deleted = await seconds(secrets, is_repaired, cluster.bare.delete(path))
        return {"first": first, "edited": edited, "deleted": deleted}
