"""Floor of a bare client that creates the same objects and makes the same writes."""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import TYPE_CHECKING, Any

from keyturn.kube import paths

from .cluster import NAMESPACE, for_each, managed_secret
from .watching import is_ready, watching

if TYPE_CHECKING:
    from .cluster import Bare, Cluster


def names(kind: str, objects: int) -> list[str]:
    return [f"{kind}-{number:05}" for number in range(objects)]


async def floor(objects: int, cluster: Cluster) -> float:
    """Make the same objects and the same writes with one client that decides nothing and reads nothing."""
    async with watching(cluster, paths.managed_secrets(), is_ready) as ready:
        began = asyncio.get_running_loop().time()
        await for_each(names("floor", objects), lambda name: _bare_object(name, cluster.bare))
        return await ready.counts(objects, patience=30) - began


async def _bare_object(name: str, bare: Bare) -> None:
    await bare.create(paths.managed_secrets(NAMESPACE), managed_secret(name))
    state = _secret(f"{name}-keyturn", key="state", size=680)
    await bare.create(paths.secrets(NAMESPACE), state)
    await bare.create(paths.secrets(NAMESPACE), _secret(name))
    await bare.merge(paths.managed_secret_status(NAMESPACE, name), {"status": _status(name)})


def _secret(name: str, key: str = "password", size: int = 32) -> dict[str, Any]:
    """Make a Secret as large as the operator's own; `size` is that of its value, in bytes."""
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
