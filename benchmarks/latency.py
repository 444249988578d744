"""Benchmark of the reaction time of an idle operator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from keyturn.kube import paths

from .cluster import NAMESPACE, managed_secret
from .process import running
from .watching import is_ready, watching

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .cluster import Cluster, Planes

_PATIENCE = 30.0
_SECRETS = paths.secrets(NAMESPACE)


async def latency(planes: Planes) -> dict[str, float]:
    """Time a first Secret, then the same one edited, then deleted."""
    name = "alone"
    async with planes() as cluster, running(cluster) as operator:
        await operator.is_quiet()
        first = await _first(name, cluster)
        await operator.is_quiet()
        edited = await _edited(name, cluster)
        await operator.is_quiet()
        return {"first": first, "edited": edited, "deleted": await _deleted(name, cluster)}


async def _first(name: str, cluster: Cluster) -> float:
    body = managed_secret(name)
    made = cluster.bare.create(paths.managed_secrets(NAMESPACE), body)
    async with watching(
        cluster, paths.managed_secrets(), lambda one: _is(name, one) and is_ready(one)
    ) as ready:
        began = asyncio.get_running_loop().time()
        await made
        return await ready.counts(1, _PATIENCE) - began


async def _edited(name: str, cluster: Cluster) -> float:
    before = await _data(name, cluster)
    changed = {"data": {"password": "ZWRpdGVk"}}
    return await _repaired(name, before, cluster.bare.merge(paths.secret(NAMESPACE, name), changed), cluster)


async def _deleted(name: str, cluster: Cluster) -> float:
    before = await _data(name, cluster)
    return await _repaired(name, before, cluster.bare.delete(paths.secret(NAMESPACE, name)), cluster)


async def _repaired(name: str, data: object, harm: Awaitable[None], cluster: Cluster) -> float:
    """Do harm to a Secret; return how many seconds passed from then until its data is as it was."""
    async with watching(
        cluster, _SECRETS, lambda one: _is(name, one) and one.get("data") == data
    ) as repaired:
        began = asyncio.get_running_loop().time()
        await harm
        return await repaired.counts(1, _PATIENCE) - began


async def _data(name: str, cluster: Cluster) -> object:
    return (await cluster.api.get(paths.secret(NAMESPACE, name)))["data"]


def _is(name: str, body: dict[str, Any]) -> bool:
    return bool(body["metadata"]["name"] == name)
