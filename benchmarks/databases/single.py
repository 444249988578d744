"""Benchmark of one database password that rotates: the operator's own time until the earlier one is refused."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.cluster import NAMESPACE
from benchmarks.rotation import deployment, is_patched, is_rolled
from benchmarks.watching import among, is_ready, watching
from keyturn.kube import paths

from .accounts import account, has_revision, is_closed, rotate
from .clients import logging_in

if TYPE_CHECKING:
    from benchmarks.cluster import Cluster

    from .accounts import Shop

_NAME = "with-pods"
_REPLICAS = 3
_PATIENCE = 60.0
_BETWEEN = 11.0
"""Seconds between two rotations: the operator restarts a workload every ten seconds at the most."""
_DEPLOYMENTS = paths.workloads("Deployment", NAMESPACE)
_PODS = {"labelSelector": f"app={_NAME}"}


async def single(rotations: int, shop: Shop, cluster: Cluster) -> dict[str, float]:
    """Rotate an account whose Deployment has three pods, some times, without debounce and overlap."""
    await _prepare(cluster)
    async with logging_in([_NAME], shop, cluster) as logins:
        turns = [await _rotate(2, cluster)]
        for revision in range(3, 2 + rotations):
            await asyncio.sleep(_BETWEEN)
            turns.append(await _rotate(revision, cluster))
    longest = {name: max(turn[name] for turn in turns) for name in turns[0]}
    return {**longest, "single_logins": logins.tried, "single_failed_logins": logins.failed}


async def _prepare(cluster: Cluster) -> None:
    async with watching(cluster, paths.managed_secrets(NAMESPACE), among([_NAME], is_ready)) as ready:
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), account(_NAME, "0s"))
        await ready.counts(1, _PATIENCE)
    async with watching(cluster, _DEPLOYMENTS, is_rolled) as rolled:
        await cluster.bare.create(_DEPLOYMENTS, deployment(_NAME, _REPLICAS))
        await rolled.counts(1, _PATIENCE)


async def _rotate(revision: int, cluster: Cluster) -> dict[str, float]:
    """Rotate once; the wait for pods is from the change of the Deployment until the last earlier pod is gone."""
    earlier = await _pods(cluster)
    is_through = partial(_is_through, revision=revision)
    async with (
        watching(cluster, paths.secrets(NAMESPACE), among([_NAME], has_revision(revision))) as published,
        watching(cluster, _DEPLOYMENTS, partial(is_patched, revision=revision)) as patched,
        watching(cluster, _DEPLOYMENTS, is_through) as rolled,
        watching(cluster, paths.pods(NAMESPACE), lambda _: False, _PODS) as pods,
        watching(
            cluster, paths.managed_secrets(NAMESPACE), among([_NAME], is_closed(revision - 1))
        ) as closed,
    ):
        began = asyncio.get_running_loop().time()
        await rotate(_NAME, revision, cluster)
        changed = await patched.counts(1, _PATIENCE)
        through = max(await rolled.counts(1, _PATIENCE), await pods.loses(earlier, _PATIENCE))
        ended = await closed.counts(1, _PATIENCE)
        return {
            "single_seconds_until_published": await published.counts(1, _PATIENCE) - began,
            "single_seconds_of_pods": through - changed,
            "single_seconds_own": ended - began - (through - changed),
            "single_seconds": ended - began,
        }


def _is_through(body: dict[str, Any], revision: int) -> bool:
    return is_patched(body, revision) and is_rolled(body)


async def _pods(cluster: Cluster) -> list[str]:
    pages = cluster.api.pages(paths.pods(NAMESPACE), _PODS, metadata_only=True)
    return [one["metadata"]["name"] async for page in pages for one in page.items]
