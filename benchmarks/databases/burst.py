"""Benchmark of many database passwords of one server that rotate at once, until each earlier one is refused."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from benchmarks.cluster import NAMESPACE, for_each
from benchmarks.watching import among, is_ready, watching
from keyturn.kube import paths
from sandbox.databases import counted_sessions

from .accounts import account, has_revision, is_closed, read_credentials, rotate
from .clients import accepts, logging_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.cluster import Cluster
    from benchmarks.process import Operator

    from .accounts import Shop

_PATIENCE = 120.0


async def burst(
    names: Sequence[str], overlap: int, shop: Shop, cluster: Cluster, operator: Operator
) -> dict[str, float]:
    """Rotate accounts at once, and wait until the end of each overlap has become a proven refusal."""
    await create_accounts(names, cluster, overlap=f"{overlap}s")
    await operator.is_quiet()
    old = [await read_credentials(name, cluster) for name in names]
    before = operator.cpu()
    with counted_sessions(shop.server) as sessions:
        async with logging_in(names, shop, cluster) as logins:
            figures = await _rotate(names, overlap, cluster)
    used = operator.cpu() - before
    left = [await asyncio.to_thread(accepts, shop, one) for one in old]
    return {
        **figures,
        "sessions": max(sessions),
        "logins": logins.tried,
        "failed_logins": logins.failed,
        "earlier_passwords_accepted": sum(left),
        "cpu_ms_per_rotation": used * 1000 / len(names),
    }


async def create_accounts(names: Sequence[str], cluster: Cluster, **spec: Any) -> None:
    """Create accounts, and wait until each has its password."""

    async def create(name: str) -> None:
        await cluster.bare.create(paths.managed_secrets(NAMESPACE), account(name, **spec))

    async with watching(cluster, paths.managed_secrets(NAMESPACE), among(names, is_ready)) as ready:
        await for_each(names, create)
        await ready.counts(len(names), max(_PATIENCE, len(names)))


async def _rotate(names: Sequence[str], overlap: int, cluster: Cluster) -> dict[str, float]:
    ends: dict[str, float] = {}
    async with (
        watching(cluster, paths.secrets(NAMESPACE), among(names, has_revision(2))) as published,
        watching(
            cluster, paths.managed_secrets(NAMESPACE), among(names, _noting(ends, is_closed(1)))
        ) as closed,
    ):
        began = asyncio.get_running_loop().time()
        await for_each(names, lambda name: rotate(name, 2, cluster))
        last = await published.counts(len(names), _PATIENCE)
        await closed.counts(len(names), _PATIENCE + overlap)
    return {
        "seconds_until_published": last - began,
        "seconds_from_overlap_until_refused": max(closed.passed[name] - ends[name] for name in names),
    }


def _noting(
    ends: dict[str, float], passes: Callable[[dict[str, Any]], bool]
) -> Callable[[dict[str, Any]], bool]:
    """Make a test that keeps the end of each overlap, in loop time; the status has it in whole seconds, cut off."""
    ahead = time.time() - asyncio.get_running_loop().time()

    def test(body: dict[str, Any]) -> bool:
        previous = (body.get("status") or {}).get("previous") or {}
        if until := previous.get("validUntil"):
            ends[body["metadata"]["name"]] = datetime.fromisoformat(until).timestamp() - ahead
        return passes(body)

    return test
