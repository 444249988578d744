"""Whose pods are read in a look: those of workloads that would be said to be through, to be late, or that go back.

What was found is remembered for as long as the process lives, so that each rollout's pods are read until the last one
with earlier values has ended, and none at rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .core.keys import ObjectKey
from .core.leaving import held_up_before, holds_places, needs_pods, needs_readiness, waiting_for_pods
from .core.marking import goes_back
from .core.rollout import next_restarts, standings
from .kube import errors
from .kube.pods import pods_of, pods_with_readiness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime
    from typing import TypeAlias

    from .core.outdated import PodFacts
    from .core.rollout import Standing
    from .core.seen import Consumer, Seen
    from .core.wanted import Wanted
    from .core.workload import Workload
    from .kube.client import Api
    from .world import Memo, World

    _ReadPods: TypeAlias = Callable[[Api, Workload], Awaitable[tuple[PodFacts, ...]]]

__all__ = ["put", "with_pods"]


async def with_pods(seen: Seen, wanted: Wanted, world: World) -> Seen:
    """Add the pods of those of which it depends on them what is said or done.

    Raises:
        ApiError: They could not be read now; where the right is missing, that is noted instead.
    """
    memo = world.memo(ObjectKey(seen.managed.metadata.namespace, seen.name))
    seen = _with_held_up(seen, memo)
    everyone = standings(seen, wanted)
    _forget(everyone, seen, wanted, memo)
    for one in everyone:
        if needs_readiness(one):
            seen = await _with_readiness(one, seen, wanted, world)
        elif needs_pods(one, seen, wanted):
            seen = await _with_older(one, seen, wanted, world)
    if any(goes_back(one, seen, wanted) for one in seen.consumers):
        for consumer in next_restarts(seen, wanted, standings(seen, wanted)):
            seen = put(await _read(consumer, pods_of, world), seen)
    return seen


def put(consumer: Consumer, seen: Seen) -> Seen:
    """Put what is known of a consumer in the place of what was known before."""
    key = consumer.workload.key
    return replace(
        seen, consumers=tuple(consumer if one.workload.key == key else one for one in seen.consumers)
    )


async def _with_older(one: Standing, seen: Seen, wanted: Wanted, world: World) -> Seen:
    """Read the pods of one that is through but for pods with earlier values, unless they were seen to have ended."""
    ended = world.memo(ObjectKey(seen.managed.metadata.namespace, seen.name)).ended
    workload, rollout = one.consumer.workload, _rollout_of(one.consumer, seen)
    if ended.get(workload.key) == rollout:
        return seen
    read = await _read(one.consumer, pods_of, world)
    seen = put(read, seen)
    if workload.settled and waiting_for_pods(read, seen, wanted) is None:
        ended[workload.key] = rollout
    return seen


async def _with_readiness(one: Standing, seen: Seen, wanted: Wanted, world: World) -> Seen:
    """Read the pods of one that is late, and remember when terminating ones held the places of others."""
    read = await _read(one.consumer, pods_with_readiness, world)
    if holds_places(read, seen, wanted):
        read = replace(read, held_up=seen.now)
        memo = world.memo(ObjectKey(seen.managed.metadata.namespace, seen.name))
        memo.held_up[read.workload.key] = seen.now
    return put(read, seen)


async def _read(consumer: Consumer, read: _ReadPods, world: World) -> Consumer:
    try:
        return replace(consumer, pods=await read(world.api, consumer.workload))
    except errors.Forbidden:
        return replace(consumer, pods_unread=True)


def _with_held_up(seen: Seen, memo: Memo) -> Seen:
    for one in seen.consumers:
        key = one.workload.key
        if key not in memo.held_up and held_up_before(one.workload, seen):
            memo.held_up[key] = seen.now
        if key in memo.held_up:
            seen = put(replace(one, held_up=memo.held_up[key]), seen)
    return seen


def _forget(everyone: Iterable[Standing], seen: Seen, wanted: Wanted, memo: Memo) -> None:
    """Keep of each only what still says something: a workload that is restarted has other pods."""
    through = {one.consumer.workload.key for one in everyone if needs_pods(one, seen, wanted)}
    watched = {one.consumer.workload.key for one in everyone if needs_readiness(one)}
    memo.ended = {key: rollout for key, rollout in memo.ended.items() if key in through}
    memo.held_up = {key: when for key, when in memo.held_up.items() if key in watched}


def _rollout_of(consumer: Consumer, seen: Seen) -> tuple[int, datetime | None]:
    """Name the rollout whose old pods have ended: nothing makes such pods again before there is another one."""
    return seen.current.number if seen.current else 0, consumer.workload.restarted
