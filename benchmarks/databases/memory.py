"""Benchmark of the memory of the first database target, next to that of an operator without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cluster import NAMESPACE, managed_secret
from benchmarks.watching import among, is_ready, watching
from keyturn.kube import paths
from sandbox.databases import sessions_of

from .accounts import account, create_target, has_revision, is_closed, rotate

if TYPE_CHECKING:
    from typing import Any

    from benchmarks.cluster import Cluster
    from benchmarks.process import Operator

    from .accounts import Shop

_PATIENCE = 60.0
_PLAIN, _USED = "without-a-server", "first-account"


async def memory(shop: Shop, cluster: Cluster, operator: Operator) -> dict[str, float]:
    """Rotate a password without a server, then one of the first account of a target, which this creates."""
    await _create(managed_secret(_PLAIN), cluster)
    await _rotate(_PLAIN, cluster)
    await operator.is_quiet()
    without = operator.memory()["rss"]

    await create_target(shop, cluster)
    await _create(account(_USED, "0s"), cluster)
    async with watching(cluster, paths.managed_secrets(NAMESPACE), among([_USED], is_closed(1))) as closed:
        await _rotate(_USED, cluster)
        await closed.counts(1, _PATIENCE)
    await operator.is_quiet()
    used = operator.memory()["rss"]
    return {
        "rss_without_target_mib": without,
        "rss_used_mib": used,
        "rss_more_mib": used - without,
        "sessions_at_rest": sessions_of(shop.server),
    }


async def _create(body: dict[str, Any], cluster: Cluster) -> None:
    is_up = among([body["metadata"]["name"]], is_ready)
    async with watching(cluster, paths.managed_secrets(NAMESPACE), is_up) as ready:
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), body)
        await ready.counts(1, _PATIENCE)


async def _rotate(name: str, cluster: Cluster) -> None:
    async with watching(cluster, paths.secrets(NAMESPACE), among([name], has_revision(2))) as published:
        await rotate(name, 2, cluster)
        await published.counts(1, _PATIENCE)
