"""Which workloads use a Secret, as one look finds them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.core.observation.observed import Consumer, Sibling
from keyturn.kube.target_secret import past

from .pods import with_pods

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.kube.cache.cache import InformerCache

__all__ = ["consumer_of", "with_consumers"]


async def with_consumers(key: ObjectKey, seen: Observed, world: Context) -> Observed:
    """Add who consumes the Secret, and whom the spec lists."""
    wanted = seen.wanted
    if wanted is None:
        return seen
    workloads = {one.key: one for one in world.mirror.users_of(key.namespace, wanted.secret)}
    listed = {target: world.mirror.workload(target) for target in wanted.targets}
    workloads |= {target: workload for target, workload in listed.items() if workload}
    missing = tuple(str(target) for target, workload in listed.items() if workload is None)
    if not workloads and not missing:
        return seen
    seen = replace(
        seen,
        consumers=tuple(
            consumer_of(one, wanted.secret, world.mirror, seen.now) for one in workloads.values()
        ),
        missing_targets=missing,
    )
    return await with_pods(seen, wanted, world)


def consumer_of(workload: Workload, secret: str, mirror: InformerCache, now: datetime) -> Consumer:
    """Look at a workload as a consumer of `secret`, beside the other managed Secrets that it uses."""
    return Consumer(workload, workload.use_of(secret), tuple(_siblings(workload, secret, mirror, now)))


def _siblings(workload: Workload, secret: str, mirror: InformerCache, now: datetime) -> Iterator[Sibling]:
    for use in workload.uses:
        meta = mirror.secret(workload.key.namespace, use.secret)
        if meta and meta.revision and use.secret != secret:
            yield Sibling(use.secret, meta.revision, past(meta.published, now))
