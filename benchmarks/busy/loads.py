"""Loads of one tenant during which objects of other tenants are created: each returns how long these waited."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import TYPE_CHECKING, Any

from benchmarks.awslike import awslike
from benchmarks.cluster import NAMESPACE, for_each, managed_secret, request_rotation
from benchmarks.databases.accounts import has_revision
from benchmarks.process import running
from benchmarks.pulled import create_store, pulled_secret
from benchmarks.rotation import is_patched, is_rolled, prepare
from benchmarks.watching import among, is_ready, watching
from keyturn.kube import paths

from .hostile import WAYS, hostile
from .newcomers import Newcomers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from benchmarks.cluster import Cluster, Planes

_LOCAL = "--allow-host=127.0.0.1"
_SLOW = 1.0
"""Seconds that each answer of the slow store takes."""
_OFTEN = "10s"
"""The shortest interval of reads."""
_RESULT = {"jsonPath": "$.value"}
_DEPLOYMENTS = paths.workloads("Deployment", NAMESPACE)
_FIRST_EVERY = 0.5
_TENANTS = 10
"""Namespaces of newcomers, unless each has one of its own."""
_READS = re.compile(r'^keyturn_provider_requests_total\{.*operation="read".*\} (\S+)$', re.MULTILINE)


async def created(objects: int, planes: Planes) -> dict[str, float]:
    """Create objects as fast as the API server takes them."""
    async with planes() as cluster, running(cluster) as operator:
        tenants = itertools.cycle(await _create_tenants("created", _TENANTS, cluster))
        newcomers = await Newcomers.of_idle(tenants, operator, cluster)
        load = _create(_names("created", objects), managed_secret, cluster)
        return {"objects": objects, **await newcomers.during(load)}


async def refreshed(objects: int, planes: Planes, seconds: float = 30.0) -> dict[str, float]:
    """Read values again, which are due every ten seconds, from a store that answers after one."""
    async with awslike(_SLOW) as address, planes() as cluster, running(cluster, _LOCAL) as operator:
        tenants = itertools.cycle(await _create_tenants("refreshed", _TENANTS, cluster))
        newcomers = await Newcomers.of_idle(tenants, operator, cluster)
        await create_store(address, cluster)
        await _create(_names("refreshed", objects), _refreshing, cluster)
        before = _reads(await operator.metrics())
        figures = await newcomers.during(asyncio.sleep(seconds))  # the length of the measurement
        reads = _reads(await operator.metrics()) - before
    return {"objects": objects, "reads_per_second": reads / seconds, **figures}


async def harmed(objects: int, planes: Planes, seconds: float = 30.0) -> dict[str, float]:
    """Have one tenant create hostile stores, each with an object that reads from it."""
    async with hostile() as address, planes() as cluster, running(cluster, _LOCAL) as operator:
        tenants = itertools.cycle(await _create_tenants("harmed", _TENANTS, cluster))
        newcomers = await Newcomers.of_idle(tenants, operator, cluster)
        load = _harm(objects, address, seconds, cluster)
        return {"objects": objects, **await newcomers.during(load)}


async def rotated(objects: int, planes: Planes, firsts: int = 200) -> dict[str, float]:
    """Rotate objects at once, each with a Deployment, while other tenants create their first object."""
    names = _names("rotated", objects)
    async with planes() as cluster, running(cluster) as operator:
        tenants = await _create_tenants("rotated", firsts, cluster)
        newcomers = await Newcomers.of_idle(tenants, operator, cluster)
        await prepare(names, {}, cluster)
        await operator.is_quiet()
        return {"objects": objects, **await newcomers.during(_rotate(names, cluster), _FIRST_EVERY)}


async def _create_tenants(name: str, count: int, cluster: Cluster) -> list[str]:
    names = [f"{name}-{number:03}" for number in range(count)]
    for one in names:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}}
        await cluster.bare.create(paths.namespaces(), body)
    return names


# The work


def _names(name: str, objects: int) -> list[str]:
    return [f"{name}-{number:05}" for number in range(objects)]


def _reads(metrics: str) -> int:
    """Return how many keys have been read from stores."""
    return sum(int(float(count)) for count in _READS.findall(metrics))


def _refreshing(name: str) -> dict[str, Any]:
    return pulled_secret(name, refreshInterval=_OFTEN)


async def _create(names: Sequence[str], body_of: Callable[[str], dict[str, Any]], cluster: Cluster) -> None:
    """Create objects, and wait until all are Ready."""

    async def create(name: str) -> None:
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), body_of(name))

    async with watching(cluster, paths.managed_secrets(NAMESPACE), among(names, is_ready)) as ready:
        await for_each(names, create)
        await ready.counts(len(names), patience=max(180, len(names) / 10))


async def _harm(objects: int, address: str, seconds: float, cluster: Cluster) -> None:
    async def create(number: int) -> None:
        name, way = f"hostile-{number:03}", WAYS[number % len(WAYS)]
        store = {
            "apiVersion": "keyturn.dev/v1alpha1",
            "kind": "SecretStore",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"provider": {"webhook": {"url": f"{address}/{way}/{{{{ key }}}}", "result": _RESULT}}},
        }
        await cluster.bare.create(paths.externals("SecretStore", NAMESPACE), store)
        source = {"storeRef": {"name": name}, "remoteRef": {"key": name}}
        reader = managed_secret(name, data=[{"name": "password", "from": source}], refreshInterval=_OFTEN)
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), reader)

    await for_each(range(objects), create)
    await asyncio.sleep(seconds)  # the length of the measurement


async def _rotate(names: Sequence[str], cluster: Cluster) -> None:
    """Rotate all at once, and wait until each Deployment is rolled."""

    is_published = among(names, has_revision(2))
    async with (
        watching(cluster, paths.secrets(NAMESPACE), is_published) as published,
        watching(cluster, _DEPLOYMENTS, lambda one: is_patched(one) and is_rolled(one)) as rolled,
    ):
        await for_each(names, lambda name: request_rotation(name, cluster))
        patience = max(120, len(names))
        await published.counts(len(names), patience)
        await rolled.counts(len(names), patience)


LOADS: Mapping[str, Callable[[int, Planes], Awaitable[dict[str, float]]]] = {
    load.__name__: load for load in (created, refreshed, harmed, rotated)
}
