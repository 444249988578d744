"""Which workloads use a Secret, as one look finds them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .api.status import WorkloadState
from .core.keys import ObjectKey
from .core.rollout import Turn, next_restarts, standings
from .core.seen import Consumer, Seen, Sibling
from .kube.secrets import past
from .kube.workloads import pods_are_newer
from .lastpods import put, with_pods

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .core.keys import WorkloadKey
    from .core.wanted import Wanted
    from .core.workload import Workload
    from .mirror import Mirror
    from .world import World

__all__ = ["consumer_of", "with_consumers"]


async def with_consumers(key: ObjectKey, seen: Seen, world: World) -> Seen:
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
    return await with_pods(await _with_renewed(seen, wanted, world), wanted, world)


def consumer_of(workload: Workload, secret: str, mirror: Mirror, now: datetime) -> Consumer:
    """Look at a workload as a consumer of `secret`, beside the other managed Secrets that it uses."""
    return Consumer(workload, workload.use_of(secret), tuple(_siblings(workload, secret, mirror, now)))


def _siblings(workload: Workload, secret: str, mirror: Mirror, now: datetime) -> Iterator[Sibling]:
    for use in workload.uses:
        meta = mirror.secret(workload.key.namespace, use.secret)
        if meta and meta.revision and use.secret != secret:
            yield Sibling(use.secret, meta.revision, past(meta.published, now))


async def _with_renewed(seen: Seen, wanted: Wanted, world: World) -> Seen:
    """Ask for the pods of those that would be restarted now, that wait for it, or that nobody may restart.

    The marker cannot tell whether somebody else has made the pods anew since; their age can.
    """
    asked: set[WorkloadKey] = set()
    while candidates := [one for one in _in_question(seen, wanted) if one.workload.key not in asked]:
        for one in candidates:
            asked.add(one.workload.key)
            published = seen.target.published if seen.target else None
            if published is None or _has_not_changed(one.workload, seen, world):
                continue
            if await pods_are_newer(world.api, one.workload, published):
                seen = put(replace(one, renewed=True), seen)
    return seen


def _has_not_changed(workload: Workload, seen: Seen, world: World) -> bool:
    """Say whether a workload is as it was when the revision was published, so that its pods are older.

    No pod is made anew without a change of its owner's status, and resource versions grow (KEP-5504).
    """
    published = world.memo(ObjectKey(workload.key.namespace, seen.name)).published
    if published is None or seen.current is None or published.number != seen.current.number:
        return False
    return not workload.idle and world.mirror.version_of(workload.key) < published.version


def _in_question(seen: Seen, wanted: Wanted) -> list[Consumer]:
    everyone = standings(seen, wanted)
    behind = (one for one in everyone if one.state is WorkloadState.PENDING)
    kept_back = [one.consumer for one in behind if one.turn in {Turn.REFUSED, Turn.HINDERED}]
    return [*kept_back, *next_restarts(seen, wanted, everyone)]
