"""Consumers of a Secret: the workloads that reference it, and their pods.

A workload's pods are read at most once per observation, and not at all without a rollout. During a rollout they are
read now and then (`kube.pods`), and whenever a decision or a report depends on them: completion, overdue
rollout, rollback, restart. The results are kept as long as the process lives.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from keyturn.api.status import WorkloadState
from keyturn.core.observation.holders import Holders, is_of
from keyturn.core.observation.observed import Consumer, Sibling, with_facts
from keyturn.core.observation.pods import PodsSeen
from keyturn.core.rotation.completion import (
    Need,
    holds_back,
    may_be_held_up,
    need_of,
    needs_holders,
    next_read,
    pods_behind,
    waits_for_old_pods,
)
from keyturn.core.rotation.old_pods import are_newer, held_up_before, holds_places
from keyturn.core.rotation.rollout import (
    Turn,
    goes_back,
    next_restarts,
    progress_of,
    standings,
)
from keyturn.kube import errors
from keyturn.kube.pods import GRACE, NO_GRACE
from keyturn.kube.target_secret import past
from keyturn.runtime.clock import loop_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey, WorkloadKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.namespace_pods import PodList

    from .write_memory import Published

__all__ = ["PodMemory", "consumer_of", "with_consumers", "with_workloads"]


async def with_consumers(
    key: ObjectKey, observed: Observed, memory: PodMemory, published: Published | None, context: Context
) -> Observed:
    """Add the consumers, and their pods as far as a decision depends on them."""
    desired = observed.desired
    if desired is None:
        return observed
    observed = with_workloads(key, observed, context.cache)
    if observed.consumers or observed.missing_targets:
        observed = await _with_pods(key, observed, desired, memory, published, context)
    return await _with_holders(key, observed, desired, memory, context)


def with_workloads(key: ObjectKey, observed: Observed, cache: InformerCache) -> Observed:
    """Add the workloads that reference the Secret, and those that the spec lists."""
    desired = observed.desired
    if desired is None:
        return observed
    workloads = {one.key: one for one in cache.users_of(key.namespace, desired.secret)}
    listed = {target: cache.workload(target) for target in desired.targets}
    workloads |= {target: workload for target, workload in listed.items() if workload}
    missing = tuple(str(target) for target, workload in listed.items() if workload is None)
    return with_facts(
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


async def _with_holders(
    key: ObjectKey, observed: Observed, desired: Desired, memory: PodMemory, context: Context
) -> Observed:
    """Add the pods that no consumer controls, if something is asserted about every pod of the namespace.

    A list that was requested after the publication serves until such a pod is found; then lists follow at intervals.

    Raises:
        ListPaused: The list is not new enough, and is read again later.
        ApiError: The list failed, or a read of a Job.
    """
    if observed.state is None or not needs_holders(observed, desired):
        return observed
    publication = (observed.state.current_number, observed.published)
    known = memory.holders.get(key)
    if known is not None and known.publication == publication and _is_recent(known, observed):
        return with_facts(observed, holders=known.holders)
    found = await context.namespace_pods.read(key.namespace, memory.requested(key, publication))
    older = _holders_of(found, observed, desired)
    older = replace(older, pods=await context.job_owners.name(key.namespace, older.pods))
    observed = with_facts(observed, holders=older)
    again = next_read(observed) if holds_back(observed, desired) else None
    holders = replace(observed.holders or Holders(), again=again)
    memory.keep(key, _KnownHolders(publication, holders, loop_time()))
    return with_facts(observed, holders=holders)


def _is_recent(known: _KnownHolders, observed: Observed) -> bool:
    return known.holders.again is None or observed.now < known.holders.again


def _holders_of(found: PodList, observed: Observed, desired: Desired) -> Holders:
    """Return the pods with earlier values of the Secret that belong to no consumer."""
    using = tuple(pod for pod in found.pods if pod.use_of(desired.secret))
    older = pods_behind(with_facts(observed, holders=Holders(using)), desired)
    workloads = [consumer.workload for consumer in observed.consumers]
    others = (pod for pod in older if not any(is_of(pod, workload) for workload in workloads))
    return Holders(tuple(others), found.forbidden)


_Publication: TypeAlias = "tuple[int, datetime]"
"""The revision and the time of its publication."""


class _KnownHolders(NamedTuple):
    """The last result for one ManagedSecret."""

    publication: _Publication
    holders: Holders
    read: float
    """When it was read, by the process's monotonic clock."""


@dataclass(slots=True)
class _RolloutRecord:
    """Pods of earlier revisions of one Secret, by workload."""

    ended: dict[WorkloadKey, tuple[int, datetime | None]] = field(default_factory=dict)
    """Workloads without such pods, each with the revision and the time of its restart marker."""
    held_up: dict[WorkloadKey, datetime] = field(default_factory=dict)
    """When such pods were last seen blocking new pods."""


class PodMemory:
    """Pods of earlier revisions, by ManagedSecret with consumers."""

    def __init__(self) -> None:
        self._records: dict[ObjectKey, _RolloutRecord] = {}
        self._requests: dict[ObjectKey, tuple[_Publication, float]] = {}
        """Requests of a list that are not served, with the time from which one serves them."""
        self.holders: dict[ObjectKey, _KnownHolders] = {}

    def record(self, key: ObjectKey) -> _RolloutRecord:
        return self._records.setdefault(key, _RolloutRecord())

    def requested(self, key: ObjectKey, publication: _Publication) -> float:
        """Return the time from which a list serves; it stays until one does, so that all that wait share the next.

        This is the time of the first request, and later half of the time since the last list.
        """
        request = self._requests.get(key)
        if request is None or request[0] != publication:
            now, known = loop_time(), self.holders.get(key)
            last = known.read if known and known.publication == publication else now
            request = publication, (last + now) / 2
            self._requests[key] = request
        return request[1]

    def keep(self, key: ObjectKey, known: _KnownHolders) -> None:
        self._requests.pop(key, None)
        self.holders[key] = known

    def note_eviction(self, key: ObjectKey, uid: str) -> None:
        """Note a pod whose eviction is requested, until pods are read again."""
        if known := self.holders.get(key):
            tried = known.holders.tried | {uid}
            self.holders[key] = known._replace(holders=replace(known.holders, tried=tried))

    def forget(self, key: ObjectKey) -> None:
        self._records.pop(key, None)
        self._requests.pop(key, None)
        self.holders.pop(key, None)


async def _with_pods(
    key: ObjectKey,
    observed: Observed,
    desired: Desired,
    memory: PodMemory,
    published: Published | None,
    context: Context,
) -> Observed:
    """Add the pods of the consumers on whose pods a decision or a report depends.

    Raises:
        ApiError: A read failed. A missing permission is recorded instead, except for workloads that would be
            restarted: whether their pods run the values already is not guessed.
    """
    record = memory.record(key)
    reads = _Reads(context, desired, record, published)
    observed = _with_held_up(observed, record)
    _drop_complete(observed, desired, record)
    observed = await reads.read_rollouts(observed)
    observed = await reads.read_rollouts(await reads.read_restarts(observed))
    return await reads.read_rollbacks(observed)


@dataclass(frozen=True, slots=True)
class _Reads:
    """The pod reads of one observation."""

    context: Context
    desired: Desired
    known: _RolloutRecord
    last: Published | None
    """The last publication by this process."""
    made: dict[WorkloadKey, PodsSeen] = field(default_factory=dict)

    async def read_rollouts(self, observed: Observed) -> Observed:
        """Read the pods that show how far a rollout is, or what blocks it."""
        for consumer in observed.consumers:
            known = consumer
            while (need := self._need(known, observed)) and not self._is_met(need, known):
                known = self._record(await self._read(known, need, observed), observed)
                observed = _with_consumer(known, observed)
        return observed

    async def read_restarts(self, observed: Observed) -> Observed:
        """Read the pods of workloads that are to be restarted, wait for it, or may not be restarted.

        The restart marker does not show whether another client has restarted the pods since; their age does.
        """
        asked: set[WorkloadKey] = set()
        published = observed.target.published if observed.target else None
        while candidates := [
            consumer for consumer in self._in_question(observed) if consumer.workload.key not in asked
        ]:
            for consumer in candidates:
                asked.add(consumer.workload.key)
                if published is None or self._has_not_changed(consumer.workload, observed):
                    continue
                if are_newer((await self._ages(consumer)).pods, published):
                    observed = _with_consumer(replace(consumer, renewed=True), observed)
        return observed

    async def read_rollbacks(self, observed: Observed) -> Observed:
        """Read the pods of workloads that restart for a rollback, whose markers return to an earlier revision."""
        for consumer in next_restarts(observed, self.desired, standings(observed, self.desired)):
            if goes_back(consumer, observed, self.desired):
                try:
                    observed = _with_consumer(replace(consumer, pods=await self._ages(consumer)), observed)
                except errors.Forbidden:
                    observed = _with_consumer(replace(consumer, pods=PodsSeen(forbidden=True)), observed)
        return observed

    def _need(self, consumer: Consumer, observed: Observed) -> Need | None:
        standing = progress_of(observed, self.desired, consumer)
        have_ended = self.known.ended.get(consumer.workload.key) == _rollout_of(consumer, observed)
        if have_ended and waits_for_old_pods(standing, observed, self.desired):
            return None
        return need_of(standing, observed, self.desired)

    def _is_met(self, need: Need, consumer: Consumer) -> bool:
        return consumer.pods is not None and (
            need is not Need.NOW or consumer.pods is self.made.get(consumer.workload.key)
        )

    async def _read(self, consumer: Consumer, need: Need, observed: Observed) -> Consumer:
        key, began = consumer.workload.key, _began(consumer, observed)
        grace = NO_GRACE if need is Need.SOON else GRACE
        if need is not Need.NOW and (last := self.context.pods.last(consumer.workload, began, grace)):
            return replace(consumer, pods=last)
        if key not in self.made:
            self.made[key] = await self.context.pods.read(consumer.workload, began)
        return replace(consumer, pods=self.made[key])

    async def _ages(self, consumer: Consumer) -> PodsSeen:
        key = consumer.workload.key
        if key not in self.made:
            self.made[key] = await self.context.pods.read_ages(consumer.workload)
        return self.made[key]

    def _record(self, consumer: Consumer, observed: Observed) -> Consumer:
        """Record that no pod has earlier values any more, or that such pods block new ones."""
        key, standing = consumer.workload.key, progress_of(observed, self.desired, consumer)
        if consumer.workload.settled and waits_for_old_pods(standing, observed, self.desired):
            self.known.ended[key] = _rollout_of(consumer, observed)
        if may_be_held_up(standing) and holds_places(consumer, observed, self.desired):
            self.known.held_up[key] = observed.now
            return replace(consumer, held_up=observed.now)
        return consumer

    def _has_not_changed(self, workload: Workload, observed: Observed) -> bool:
        """Whether a workload is unchanged since the revision was published, so that its pods are older.

        No pod is replaced without a change of its owner's status, and resource versions grow (KEP-5504).
        """
        if self.last is None or observed.current is None or self.last.number != observed.current.number:
            return False
        return not workload.idle and self.context.cache.version_of(workload.key) < self.last.version

    def _in_question(self, observed: Observed) -> list[Consumer]:
        all_standings = standings(observed, self.desired)
        behind = (one for one in all_standings if one.state is WorkloadState.PENDING)
        kept_back = [one.consumer for one in behind if one.turn in {Turn.REFUSED, Turn.HINDERED}]
        return [*kept_back, *next_restarts(observed, self.desired, all_standings)]


def _with_consumer(consumer: Consumer, observed: Observed) -> Observed:
    """Replace a consumer in the observation."""
    key = consumer.workload.key
    return with_facts(
        observed, consumers=tuple(consumer if one.workload.key == key else one for one in observed.consumers)
    )


def _with_held_up(observed: Observed, record: _RolloutRecord) -> Observed:
    for consumer in observed.consumers:
        key = consumer.workload.key
        if key not in record.held_up and held_up_before(consumer.workload, observed):
            record.held_up[key] = observed.now
        if key in record.held_up:
            observed = _with_consumer(replace(consumer, held_up=record.held_up[key]), observed)
    return observed


def _drop_complete(observed: Observed, desired: Desired, record: _RolloutRecord) -> None:
    """Drop records of workloads that are restarted or complete."""
    all_standings = standings(observed, desired)
    complete = {
        one.consumer.workload.key for one in all_standings if waits_for_old_pods(one, observed, desired)
    }
    blocked = {one.consumer.workload.key for one in all_standings if may_be_held_up(one)}
    record.ended = {key: rollout for key, rollout in record.ended.items() if key in complete}
    record.held_up = {key: when for key, when in record.held_up.items() if key in blocked}


def _rollout_of(consumer: Consumer, observed: Observed) -> tuple[int, datetime | None]:
    """Identify a rollout by revision and restart time; no pod with earlier values starts before the next one."""
    return observed.current.number if observed.current else 0, consumer.workload.restarted


def _began(consumer: Consumer, observed: Observed) -> datetime:
    """Return when the rollout began."""
    published = observed.target.published if observed.target else None
    return max(filter(None, (consumer.workload.restarted, published)), default=observed.now)
