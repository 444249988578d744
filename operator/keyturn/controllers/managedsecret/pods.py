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


async def with_pods(observed: Observed, desired: Desired, context: Context) -> Observed:
    """Add the pods of those of which it depends on them what is said or done.

    Raises:
        ApiError: They could not be read now; where the right is missing, that is noted instead, but for those that
            would be restarted: whether they run the values already is not guessed.
    """
    memory = context.memory(ObjectKey(observed.managed.metadata.namespace, observed.name))
    reads = _Reads(context, desired, memory)
    observed = _with_held_up(observed, memory)
    _forget(observed, desired, memory)
    observed = await reads.needed(observed)
    observed = await reads.needed(await reads.renewed(observed))
    return await reads.going_back(observed)


@dataclass(frozen=True, slots=True)
class _Reads:
    """The reads of one look."""

    context: Context
    desired: Desired
    memory: ObjectMemory
    made: dict[WorkloadKey, PodsSeen] = field(default_factory=dict)

    async def needed(self, observed: Observed) -> Observed:
        """Read the pods without which it cannot be said how far a rollout is, or what keeps it from its end."""
        for one in observed.consumers:
            known = one
            while (need := self._need(known, observed)) and not self._is_met(need, known):
                known = self._noted(await self._read(known, need, observed), observed)
                observed = _put(known, observed)
        return observed

    async def renewed(self, observed: Observed) -> Observed:
        """Ask for the pods of those that would be restarted now, that wait for it, or that nobody may restart.

        The marker cannot tell whether somebody else has made the pods anew since; their age can.
        """
        asked: set[WorkloadKey] = set()
        published = observed.target.published if observed.target else None
        while candidates := [one for one in self._in_question(observed) if one.workload.key not in asked]:
            for one in candidates:
                asked.add(one.workload.key)
                if published is None or _has_not_changed(one.workload, observed, self.context):
                    continue
                if are_newer((await self._ages(one)).pods, published):
                    observed = _put(replace(one, renewed=True), observed)
        return observed

    async def going_back(self, observed: Observed) -> Observed:
        """Read the pods of those that are restarted now for an earlier revision: their marker is what comes back."""
        for one in next_restarts(observed, self.desired, standings(observed, self.desired)):
            if goes_back(one, observed, self.desired):
                try:
                    observed = _put(replace(one, pods=await self._ages(one)), observed)
                except errors.Forbidden:
                    observed = _put(replace(one, pods=PodsSeen(forbidden=True)), observed)
        return observed

    def _need(self, one: Consumer, observed: Observed) -> Need | None:
        standing = standing_of(one, observed, self.desired)
        have_ended = self.memory.ended.get(one.workload.key) == _rollout_of(one, observed)
        if have_ended and waits_for_old_pods(standing, observed, self.desired):
            return None
        return need_of(standing, observed, self.desired)

    def _is_met(self, need: Need, one: Consumer) -> bool:
        return one.pods is not None and (need is not Need.NOW or one.pods is self.made.get(one.workload.key))

    async def _read(self, one: Consumer, need: Need, observed: Observed) -> Consumer:
        key, began = one.workload.key, _began(one, observed)
        grace = NO_GRACE if need is Need.SOON else GRACE
        if need is not Need.NOW and (last := self.context.pods.last(one.workload, began, grace)):
            return replace(one, pods=last)
        if key not in self.made:
            self.made[key] = await self.context.pods.read(one.workload, began)
        return replace(one, pods=self.made[key])

    async def _ages(self, one: Consumer) -> PodsSeen:
        key = one.workload.key
        if key not in self.made:
            self.made[key] = await self.context.pods.read_ages(one.workload)
        return self.made[key]

    def _noted(self, one: Consumer, observed: Observed) -> Consumer:
        """Remember that the last pod with earlier values has ended, or that such pods held the places of others."""
        key, standing = one.workload.key, standing_of(one, observed, self.desired)
        if one.workload.settled and waits_for_old_pods(standing, observed, self.desired):
            self.memory.ended[key] = _rollout_of(one, observed)
        if may_be_held_up(standing) and holds_places(one, observed, self.desired):
            self.memory.held_up[key] = observed.now
            return replace(one, held_up=observed.now)
        return one

    def _in_question(self, observed: Observed) -> list[Consumer]:
        everyone = standings(observed, self.desired)
        behind = (one for one in everyone if one.state is WorkloadState.PENDING)
        kept_back = [one.consumer for one in behind if one.turn in {Turn.REFUSED, Turn.HINDERED}]
        return [*kept_back, *next_restarts(observed, self.desired, everyone)]


def _put(consumer: Consumer, observed: Observed) -> Observed:
    """Put what is known of a consumer in the place of what was known before."""
    key = consumer.workload.key
    return replace(
        observed, consumers=tuple(consumer if one.workload.key == key else one for one in observed.consumers)
    )


def _has_not_changed(workload: Workload, observed: Observed, context: Context) -> bool:
    """Say whether a workload is as it was when the revision was published, so that its pods are older.

    No pod is made anew without a change of its owner's status, and resource versions grow (KEP-5504).
    """
    published = context.memory(ObjectKey(workload.key.namespace, observed.name)).published
    if published is None or observed.current is None or published.number != observed.current.number:
        return False
    return not workload.idle and context.cache.version_of(workload.key) < published.version


def _with_held_up(observed: Observed, memory: ObjectMemory) -> Observed:
    for one in observed.consumers:
        key = one.workload.key
        if key not in memory.held_up and held_up_before(one.workload, observed):
            memory.held_up[key] = observed.now
        if key in memory.held_up:
            observed = _put(replace(one, held_up=memory.held_up[key]), observed)
    return observed


def _forget(observed: Observed, desired: Desired, memory: ObjectMemory) -> None:
    """Keep of each only what still says something: a workload that is restarted has other pods."""
    everyone = standings(observed, desired)
    through = {one.consumer.workload.key for one in everyone if waits_for_old_pods(one, observed, desired)}
    watched = {one.consumer.workload.key for one in everyone if may_be_held_up(one)}
    memory.ended = {key: rollout for key, rollout in memory.ended.items() if key in through}
    memory.held_up = {key: when for key, when in memory.held_up.items() if key in watched}


def _rollout_of(consumer: Consumer, observed: Observed) -> tuple[int, datetime | None]:
    """Name the rollout whose old pods have ended: nothing makes such pods again before there is another one."""
    return observed.current.number if observed.current else 0, consumer.workload.restarted


def _began(consumer: Consumer, observed: Observed) -> datetime:
    """Say since when its rollout is waited for."""
    published = observed.target.published if observed.target else None
    return max(filter(None, (consumer.workload.restarted, published)), default=observed.now)
