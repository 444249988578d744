"""Consumers of a Secret: the workloads that reference it."""

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

    from .pods import PodMemory
    from .write_memory import Published

__all__ = ["consumer_of", "with_consumers", "with_workloads"]


async def with_consumers(
    key: ObjectKey, observed: Observed, memory: PodMemory, published: Published | None, context: Context
) -> Observed:
    """Add the consumers, and their pods as far as a decision depends on them."""
    observed = with_workloads(key, observed, context.cache)
    if observed.desired is None or not (observed.consumers or observed.missing_targets):
        return observed
    return await with_pods(key, observed, observed.desired, memory, published, context)


def with_workloads(key: ObjectKey, observed: Observed, cache: InformerCache) -> Observed:
    """Add the workloads that reference the Secret, and those that the spec lists."""
    desired = observed.desired
    if desired is None:
        return observed
    workloads = {one.key: one for one in cache.users_of(key.namespace, desired.secret)}
    listed = {target: cache.workload(target) for target in desired.targets}
    workloads |= {target: workload for target, workload in listed.items() if workload}
    missing = tuple(str(target) for target, workload in listed.items() if workload is None)
    return replace(
        observed,
        consumers=tuple(consumer_of(one, desired.secret, cache, observed.now) for one in workloads.values()),
        missing_targets=missing,
    )


def consumer_of(workload: Workload, secret: str, cache: InformerCache, now: datetime) -> Consumer:
    """Return a workload as a consumer of `secret`, with the other managed Secrets that it references."""
    return Consumer(workload, workload.use_of(secret), tuple(_siblings(workload, secret, cache, now)))


def _siblings(workload: Workload, secret: str, cache: InformerCache, now: datetime) -> Iterator[Sibling]:
    for use in workload.uses:
        meta = cache.secret(workload.key.namespace, use.secret)
        if meta and meta.revision and use.secret != secret:
            yield Sibling(use.secret, meta.revision, past(meta.published, now))
