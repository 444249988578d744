"""Benchmarks of other tenants' new objects while the operator has one tenant's work; the waits of many objects."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

from keyturn.kube import paths

from .cluster import (
    LOCAL,
    NAMESPACE,
    Body,
    Cluster,
    Operator,
    Planes,
    among,
    beside,
    connected,
    create_managed,
    for_each,
    has_revision,
    is_ready,
    keyturn_object,
    managed_secret,
    names,
    request_rotation,
    running,
    secret,
    watching,
)
from .rotation import DEPLOYMENTS, is_patched, is_rolled, prepare
from .servers import WAYS, awslike, hostile


def _reading(name: str, store: str, key: str) -> Body:
    """Make a ManagedSecret that reads a key as often as the schema permits."""
    source = {"storeRef": {"name": store}, "remoteRef": {"key": key}}
    data = [{"name": "password", "from": source}]
    return managed_secret(name, data=data, refreshInterval="10s")


async def _create_store(address: str, cluster: Cluster) -> None:
    login = {"id": "AKIAIOSFODNN7EXAMPLE", "key": "benchmark"}
    reference = {"name": "aws-login", "accessKeyIdKey": "id", "secretAccessKeyKey": "key"}
    settings = {
        "region": "eu-central-1",
        "endpoint": address,
        "auth": {"accessKey": {"secretRef": reference}},
    }
    data = {name: text.encode() for name, text in login.items()}
    await cluster.bare.create(paths.secrets(NAMESPACE), secret("aws-login", data))
    await cluster.bare.create(*_store("aws", {"awsSecretsManager": settings}))


def _store(name: str, provider: Body) -> tuple[str, Body]:
    return paths.externals("SecretStore", NAMESPACE), keyturn_object(
        "SecretStore", name, {"provider": provider}
    )


# A busy operator

_SLOW = 1.0
"""Seconds that each answer of the slow store takes."""
_LABEL = "bench.keyturn.dev/newcomer"
_EVERY = 0.25
_IDLE, _IDLE_EVERY, _FIRST_EVERY = 2.0, 0.5, 0.5
_PATIENCE = 120.0


async def created(objects: int, planes: Planes) -> dict[str, float]:
    """Create objects as fast as the API server takes them."""
    async with planes() as cluster, running(cluster) as operator:
        newcomers = await Newcomers.prepare("created", operator, cluster)
        load = create_managed(names("created", objects), cluster)
        return {"objects": objects, **await newcomers.during(load)}


async def refreshed(objects: int, planes: Planes, seconds: float = 30.0) -> dict[str, float]:
    """Read values again, which are due every ten seconds, from a store that answers after one."""
    async with awslike(_SLOW) as address, planes() as cluster, running(cluster, LOCAL) as operator:
        newcomers = await Newcomers.prepare("refreshed", operator, cluster)
        await _create_store(address, cluster)
        await create_managed(
            names("refreshed", objects), cluster, lambda name: _reading(name, "aws", f"bench/{name}")
        )
        return {"objects": objects, **await newcomers.during(asyncio.sleep(seconds))}


async def harmed(objects: int, planes: Planes, seconds: float = 30.0) -> dict[str, float]:
    """Have one tenant create hostile stores, each with an object that reads from it."""
    async with hostile() as address, planes() as cluster, running(cluster, LOCAL) as operator:
        newcomers = await Newcomers.prepare("harmed", operator, cluster)

        async def create(number: int) -> None:
            name, way = f"hostile-{number:03}", WAYS[number % len(WAYS)]
            webhook = {"url": f"{address}/{way}/{{{{ key }}}}", "result": {"jsonPath": "$.value"}}
            await cluster.bare.create(*_store(name, {"webhook": webhook}))
            await cluster.bare.create(paths.managed_secrets(NAMESPACE), _reading(name, name, name))

        async def harm() -> None:
            await for_each(range(objects), create)
            await asyncio.sleep(seconds)  # the length of the measurement

        return {"objects": objects, **await newcomers.during(harm())}


async def rotated(objects: int, planes: Planes, firsts: int = 200) -> dict[str, float]:
    """Rotate objects at once, each with a Deployment, while other tenants create their first object."""
    chosen = names("rotated", objects)
    async with planes() as cluster, running(cluster) as operator:
        newcomers = await Newcomers.prepare("rotated", operator, cluster, firsts)
        await prepare(chosen, {}, cluster)
        await operator.is_quiet()
        return {"objects": objects, **await newcomers.during(_rotate(chosen, cluster), _FIRST_EVERY)}


async def _rotate(chosen: Sequence[str], cluster: Cluster) -> None:
    """Rotate all at once, and wait until each Deployment is rolled."""
    patience = max(120, len(chosen))
    async with (
        watching(cluster, paths.secrets(NAMESPACE), among(chosen, has_revision(2))) as published,
        watching(cluster, DEPLOYMENTS, lambda one: is_patched(one) and is_rolled(one)) as rolled,
    ):
        await for_each(chosen, lambda name: request_rotation(name, cluster))
        await published.counts(len(chosen), patience)
        await rolled.counts(len(chosen), patience)


class Newcomers:
    """Other tenants, which create an object each in turn; how long each waits until it is Ready."""

    def __init__(self, tenants: Iterator[str], cluster: Cluster) -> None:
        self._tenants, self._cluster = tenants, cluster
        self._usual = 0.0

    @classmethod
    async def prepare(cls, name: str, operator: Operator, cluster: Cluster, firsts: int = 0) -> Newcomers:
        """Create ten namespaces, or one for each of `firsts`, and measure how long an idle operator takes."""
        tenants = [f"{name}-{number:03}" for number in range(firsts or 10)]
        for one in tenants:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}}
            await cluster.bare.create(paths.namespaces(), body)
        newcomers = cls(iter(tenants) if firsts else itertools.cycle(tenants), cluster)
        await operator.is_quiet()
        idle = await newcomers._waits("idle", asyncio.sleep(_IDLE), _IDLE_EVERY)
        newcomers._usual = statistics.median(idle)
        return newcomers

    async def during(self, load: Coroutine[Any, Any, None], every: float = _EVERY) -> dict[str, float]:
        """Return how long newcomers wait during a load."""
        busy = await self._waits("busy", load, every)
        longest = max(busy)
        return {
            "samples": len(busy),
            **percentiles(busy),
            "longest_seconds": longest,
            "delay_seconds": longest - self._usual,
        }

    async def _waits(self, name: str, load: Coroutine[Any, Any, None], every: float) -> list[float]:
        """Create an object for a tenant every so many seconds until the load ends; return how long each took.

        They have a connection and a watch of their own, so that none waits for the load in this process.
        """
        cluster, began = self._cluster, dict[str, float]()

        async def create(number: int, namespace: str, own: Cluster) -> None:
            body = managed_secret(f"{name}-{number:04}")
            body["metadata"] |= {"namespace": namespace, "labels": {_LABEL: name}}
            began[body["metadata"]["name"]] = asyncio.get_running_loop().time()
            await own.bare.create(paths.managed_secrets(namespace), body)

        only = {"labelSelector": f"{_LABEL}={name}"}
        async with (
            beside(load) as working,
            connected(cluster.plane, cluster.operator_kubeconfig, cluster.folder) as own,
            watching(own, paths.managed_secrets(), is_ready, only) as ready,
        ):
            async with asyncio.TaskGroup() as group:
                for number, namespace in zip(itertools.count(), self._tenants, strict=False):
                    group.create_task(create(number, namespace, own))
                    await asyncio.wait([working], timeout=every)
                    if working.done():
                        break
            await ready.counts(len(began), _PATIENCE)
            await working
        return [ready.passed[one] - at for one, at in began.items()]


def percentiles(waited: list[float]) -> dict[str, float]:
    """Return the median of waits, and the longest but for one in a hundred."""
    hundredths = statistics.quantiles(waited * 2 if len(waited) == 1 else waited, n=100, method="inclusive")
    return {"p50_seconds": hundredths[49], "p99_seconds": hundredths[98]}
