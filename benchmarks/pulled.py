"""Benchmark of pulled values, next to generated ones."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from keyturn.kube import paths

from .awslike import awslike
from .cluster import NAMESPACE, for_each, managed_secret
from .process import running
from .watching import is_ready, watching

if TYPE_CHECKING:
    from .cluster import Cluster, Planes
    from .process import Operator

_AWAY = 0.02
"""Seconds that each answer of the store takes."""
_STORE = "aws"


_TURNS = ("made", "read", "read", "made")
"""The order of the parts: what a machine that grows slower or faster all the time does to both kinds is the same."""


async def pulled(objects: int, planes: Planes) -> dict[str, float]:
    """Make objects with a generated value each, and as many that read each a key of their own from one store."""
    async with (
        awslike(_AWAY) as address,
        planes() as cluster,
        running(cluster, f"--allow-host={urlsplit(address).netloc}") as operator,
    ):
        await _created("first", objects, cluster, operator, pulls=False)
        await create_store(address, cluster)
        parts = [
            (kind, await _created(f"{kind}{turn}", objects, cluster, operator, pulls=kind == "read"))
            for turn, kind in enumerate(_TURNS)
        ]
    made, read = (
        {name: sum(part[name] for of, part in parts if of == kind) for name in parts[0][1]}
        for kind in ("made", "read")
    )
    each = objects * _TURNS.count("read")
    return {
        "objects": objects,
        "made_per_second": each / made["seconds"],
        "per_second": each / read["seconds"],
        "share_of_made": made["seconds"] / read["seconds"],
        "cpu_ms_per_object": read["cpu"] * 1000 / each,
        # Both are as many objects, so what is left is what the store and its SDK take.
        "rss_more_mib": read["rss_more"] - made["rss_more"],
    }


async def _created(
    kind: str, objects: int, cluster: Cluster, operator: Operator, *, pulls: bool
) -> dict[str, float]:
    """Create objects as fast as the API server takes them, and wait until all are Ready."""
    await operator.is_quiet()
    before, memory = await operator.usage(), operator.memory()["rss"]

    def is_one(body: dict[str, Any]) -> bool:
        return str(body["metadata"]["name"]).startswith(kind) and is_ready(body)

    async def create(name: str) -> None:
        body = pulled_secret(name) if pulls else managed_secret(name)
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), body)

    async with watching(cluster, paths.managed_secrets(), is_one) as ready:
        began = asyncio.get_running_loop().time()
        await for_each((f"{kind}-{number:05}" for number in range(objects)), create)
        seconds = await ready.counts(objects, patience=max(60, objects / 20)) - began
    used = (await operator.usage()).since(before)
    return {"seconds": seconds, "cpu": used.cpu, "rss_more": operator.memory()["rss"] - memory}


def pulled_secret(name: str, **spec: Any) -> dict[str, Any]:
    """Make a ManagedSecret that reads a key of its own."""
    source = {"storeRef": {"name": _STORE}, "remoteRef": {"key": f"bench/{name}"}}
    return managed_secret(name, data=[{"name": "password", "from": source}], **spec)


async def create_store(address: str, cluster: Cluster) -> None:
    login = {"id": "AKIAIOSFODNN7EXAMPLE", "key": "benchmark"}
    await cluster.bare.create(
        paths.secrets(NAMESPACE),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "aws-login", "namespace": NAMESPACE},
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in login.items()},
        },
    )
    secret = {"name": "aws-login", "accessKeyIdKey": "id", "secretAccessKeyKey": "key"}
    settings = {
        "region": "eu-central-1",
        "endpoint": address,
        "auth": {"accessKey": {"secretRef": secret}},
    }
    await cluster.bare.create(
        paths.externals("SecretStore", NAMESPACE),
        {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "SecretStore",
            "metadata": {"name": _STORE, "namespace": NAMESPACE},
            "spec": {"provider": {"awsSecretsManager": settings}},
        },
    )
