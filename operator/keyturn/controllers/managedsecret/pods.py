"""Whose pods are read in a look, each at most once, and what follows from them.

At rest none are. While a rollout is under way they are read now and then (see `podlooks`), and in this look where
something is about to be said or done that depends on them: that it is through, that it is late, that it goes back, or
that it is restarted. What was found is remembered for as long as the process lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.pods import PodsSeen
from keyturn.core.rotation.markers import goes_back
from keyturn.core.rotation.old_pods import held_up_before, holds_places
from keyturn.core.rotation.outdated_pods import are_newer
from keyturn.core.rotation.pod_reads import Need, may_be_held_up, need_of, waits_for_old_pods
from keyturn.core.rotation.rollout import Turn, next_restarts, standing_of, standings
from keyturn.kube import errors
from keyturn.kube.cache.pods import GRACE, NO_GRACE

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.controllers.context import Context, ObjectMemory
    from keyturn.core.keys import WorkloadKey
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = ["with_pods"]


async def with_pods(seen: Observed, wanted: Desired, world: Context) -> Observed:
    """Add the pods of those of which it depends on them what is said or done.

    Raises:
        ApiError: They could not be read now; where the right is missing, that is noted instead, but for those that
            would be restarted: whether they run the values already is not guessed.
    """
    memo = world.memo(ObjectKey(seen.managed.metadata.namespace, seen.name))
    reads = _Reads(world, wanted, memo)
    seen = _with_held_up(seen, memo)
    _forget(seen, wanted, memo)
    seen = await reads.needed(seen)
    seen = await reads.needed(await reads.renewed(seen))
    return await reads.going_back(seen)


@dataclass(frozen=True, slots=True)
class _Reads:
    """The reads of one look."""

    world: Context
    wanted: Desired
    memo: ObjectMemory
    made: dict[WorkloadKey, PodsSeen] = field(default_factory=dict)

    async def needed(self, seen: Observed) -> Observed:
        """Read the pods without which it cannot be said how far a rollout is, or what keeps it from its end."""
        for one in seen.consumers:
            known = one
            while (need := self._need(known, seen)) and not self._is_met(need, known):
                known = self._noted(await self._read(known, need, seen), seen)
                seen = _put(known, seen)
        return seen

    async def renewed(self, seen: Observed) -> Observed:
        """Ask for the pods of those that would be restarted now, that wait for it, or that nobody may restart.

        The marker cannot tell whether somebody else has made the pods anew since; their age can.
        """
        asked: set[WorkloadKey] = set()
        published = seen.target.published if seen.target else None
        while candidates := [one for one in self._in_question(seen) if one.workload.key not in asked]:
            for one in candidates:
                asked.add(one.workload.key)
                if published is None or _has_not_changed(one.workload, seen, self.world):
                    continue
                if are_newer((await self._ages(one)).pods, published):
                    seen = _put(replace(one, renewed=True), seen)
        return seen

    async def going_back(self, seen: Observed) -> Observed:
        """Read the pods of those that are restarted now for an earlier revision: their marker is what comes back."""
        for one in next_restarts(seen, self.wanted, standings(seen, self.wanted)):
            if goes_back(one, seen, self.wanted):
                try:
                    seen = _put(replace(one, pods=await self._ages(one)), seen)
                except errors.Forbidden:
                    seen = _put(replace(one, pods=PodsSeen(forbidden=True)), seen)
        return seen

    def _need(self, one: Consumer, seen: Observed) -> Need | None:
        standing = standing_of(one, seen, self.wanted)
        have_ended = self.memo.ended.get(one.workload.key) == _rollout_of(one, seen)
        if have_ended and waits_for_old_pods(standing, seen, self.wanted):
            return None
        return need_of(standing, seen, self.wanted)

    def _is_met(self, need: Need, one: Consumer) -> bool:
        return one.pods is not None and (need is not Need.NOW or one.pods is self.made.get(one.workload.key))

    async def _read(self, one: Consumer, need: Need, seen: Observed) -> Consumer:
        key, began = one.workload.key, _began(one, seen)
        grace = NO_GRACE if need is Need.SOON else GRACE
        if need is not Need.NOW and (last := self.world.pods.last(one.workload, began, grace)):
            return replace(one, pods=last)
        if key not in self.made:
            self.made[key] = await self.world.pods.read(one.workload, began)
        return replace(one, pods=self.made[key])

    async def _ages(self, one: Consumer) -> PodsSeen:
        key = one.workload.key
        if key not in self.made:
            self.made[key] = await self.world.pods.read_ages(one.workload)
        return self.made[key]

    def _noted(self, one: Consumer, seen: Observed) -> Consumer:
        """Remember that the last pod with earlier values has ended, or that such pods held the places of others."""
        key, standing = one.workload.key, standing_of(one, seen, self.wanted)
        if one.workload.settled and waits_for_old_pods(standing, seen, self.wanted):
            self.memo.ended[key] = _rollout_of(one, seen)
        if may_be_held_up(standing) and holds_places(one, seen, self.wanted):
            self.memo.held_up[key] = seen.now
            return replace(one, held_up=seen.now)
        return one

    def _in_question(self, seen: Observed) -> list[Consumer]:
        everyone = standings(seen, self.wanted)
        behind = (one for one in everyone if one.state is WorkloadState.PENDING)
        kept_back = [one.consumer for one in behind if one.turn in {Turn.REFUSED, Turn.HINDERED}]
        return [*kept_back, *next_restarts(seen, self.wanted, everyone)]


def _put(consumer: Consumer, seen: Observed) -> Observed:
    """Put what is known of a consumer in the place of what was known before."""
    key = consumer.workload.key
    return replace(
        seen, consumers=tuple(consumer if one.workload.key == key else one for one in seen.consumers)
    )


def _has_not_changed(workload: Workload, seen: Observed, world: Context) -> bool:
    """Say whether a workload is as it was when the revision was published, so that its pods are older.

    No pod is made anew without a change of its owner's status, and resource versions grow (KEP-5504).
    """
    published = world.memo(ObjectKey(workload.key.namespace, seen.name)).published
    if published is None or seen.current is None or published.number != seen.current.number:
        return False
    return not workload.idle and world.mirror.version_of(workload.key) < published.version


def _with_held_up(seen: Observed, memo: ObjectMemory) -> Observed:
    for one in seen.consumers:
        key = one.workload.key
        if key not in memo.held_up and held_up_before(one.workload, seen):
            memo.held_up[key] = seen.now
        if key in memo.held_up:
            seen = _put(replace(one, held_up=memo.held_up[key]), seen)
    return seen


def _forget(seen: Observed, wanted: Desired, memo: ObjectMemory) -> None:
    """Keep of each only what still says something: a workload that is restarted has other pods."""
    everyone = standings(seen, wanted)
    through = {one.consumer.workload.key for one in everyone if waits_for_old_pods(one, seen, wanted)}
    watched = {one.consumer.workload.key for one in everyone if may_be_held_up(one)}
    memo.ended = {key: rollout for key, rollout in memo.ended.items() if key in through}
    memo.held_up = {key: when for key, when in memo.held_up.items() if key in watched}


def _rollout_of(consumer: Consumer, seen: Observed) -> tuple[int, datetime | None]:
    """Name the rollout whose old pods have ended: nothing makes such pods again before there is another one."""
    return seen.current.number if seen.current else 0, consumer.workload.restarted


def _began(consumer: Consumer, seen: Observed) -> datetime:
    """Say since when its rollout is waited for."""
    published = seen.target.published if seen.target else None
    return max(filter(None, (consumer.workload.restarted, published)), default=seen.now)
