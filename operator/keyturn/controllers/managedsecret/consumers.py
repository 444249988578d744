"""Consumers of a Secret: the workloads that reference it, and their pods as far as a decision depends on them.

Pods with earlier values that no consumer controls are read if something is asserted about all pods of the namespace.

A workload's pods are read at most once per observation, and not at all without a rollout. During a rollout they are
read now and then (`kube.pods`), and whenever a decision or a report depends on them: completion, overdue
rollout, rollback, restart. The results are kept as long as the process lives.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

from keyturn.api.workloads import WorkloadState
from keyturn.controllers.context import Context
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.observation.observed import Consumer, Managed, Observed, Sibling, with_facts
from keyturn.core.observation.workload import Pod, PodsSeen, Workload, is_of
from keyturn.core.rotation.completion import (
    depends_on_pods,
    may_be_blocked,
    needs_holders,
    restarts_in_question,
    waits_for_old_pods,
)
from keyturn.core.rotation.old_pods import (
    are_newer,
    next_read_of_all,
    pods_behind,
    terminating_pods_block,
    was_blocked_before,
)
from keyturn.core.rotation.publication import reports_completion
from keyturn.core.rotation.rollout import (
    WorkloadProgress,
    goes_back,
    progress_of,
    progress_of_workloads,
)
from keyturn.core.rotation.rollout_obstacles import was_paused
from keyturn.kube import errors
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.target_secret import plausible
from keyturn.runtime.clock import loop_time

from .retries import error_of_list
from .secret_reads import Published

_Rollout: TypeAlias = "tuple[int, datetime | None]"
"""The revision of a rollout, and the time of the restart marker."""
READ_GRACE = timedelta(seconds=10)
"""Time after the start of a rollout without reads of its pods."""
_LASTING = timedelta(minutes=1)
"""For how long a controller must report completion: a pod that crashes is ready for a moment after each start."""


_Subject: TypeAlias = "tuple[int, datetime]"
"""The revision, and the time of its publication."""


@dataclass(slots=True)
class _Holders:
    """The pods that no consumer controls."""

    subject: _Subject
    since: float
    """A list that was requested at this time of the process's monotonic clock or later is new enough."""
    pods: PodsSeen | None = None
    """The last list; None before the first."""
    read: float = 0.0
    """When it was read."""


@dataclass(slots=True)
class _RolloutRecord:
    """What is known of the rollouts of one Secret, by workload."""

    ended: dict[WorkloadKey, _Rollout] = field(default_factory=dict)
    """Workloads without pods of earlier revisions."""
    blocked_since: dict[WorkloadKey, datetime] = field(default_factory=dict)
    """When such pods were last seen blocking new pods."""
    completed: dict[WorkloadKey, tuple[_Rollout, datetime]] = field(default_factory=dict)
    """Workloads whose controller reports their rollout as complete, each with the time since when."""
    pauses: dict[WorkloadKey, datetime | None] = field(default_factory=dict)
    """When the pause of a rollout ended; None while it lasts."""
    holders: _Holders | None = None


class PodMemory:
    """Pods of earlier revisions, by ManagedSecret with consumers."""

    def __init__(self) -> None:
        self._records: dict[ObjectKey, _RolloutRecord] = {}

    def record(self, key: ObjectKey) -> _RolloutRecord:
        return self._records.setdefault(key, _RolloutRecord())

    def note_eviction(self, key: ObjectKey, uid: str) -> None:
        """Note a pod whose eviction is requested, until pods are read again."""
        if (known := self.record(key).holders) and known.pods:
            known.pods = replace(known.pods, tried=known.pods.tried | {uid})

    def forget(self, key: ObjectKey) -> None:
        self._records.pop(key, None)


async def with_consumers(
    key: ObjectKey, observed: Observed, memory: PodMemory, published: Published | None, context: Context
) -> Observed:
    """Add the consumers, and the pods of those on whose pods a decision or a report depends.

    If pods cannot be listed, `unread` has the error; a missing permission is recorded for each workload instead,
    except for those that would be restarted: whether their pods run the values already is not guessed.
    """
    observed = with_workloads(key, observed, context.cache)
    if not isinstance(observed, Managed) or not (observed.consumers or observed.missing_targets):
        return observed
    record = memory.record(key)
    reads = _Reads(context, record, published)
    observed = _with_record(observed, record)
    _drop_complete(observed, record)
    try:
        return await reads.read(observed)
    except errors.NotLeading:
        raise
    except errors.ApiError as error:
        return reads.without_pods(with_facts(observed, unread=error_of_list(error)))


def with_workloads(key: ObjectKey, observed: Observed, cache: InformerCache) -> Observed:
    """Add the workloads that reference the Secret, and those that the spec lists."""
    desired = observed.desired
    if desired is None:
        return observed
    workloads, missing = workloads_of(key.namespace, desired.secret, desired.targets, cache)
    return with_facts(
        observed,
        consumers=tuple(consumer_of(one, desired.secret, cache, observed.now) for one in workloads.values()),
        missing_targets=tuple(map(str, missing)),
    )


def workloads_of(
    namespace: str, secret: str, targets: Iterable[WorkloadKey], cache: InformerCache
) -> tuple[dict[WorkloadKey, Workload], list[WorkloadKey]]:
    """Return the workloads that reference a Secret or that the spec lists, and the listed ones that are absent."""
    found = {one.key: one for one in cache.users_of(namespace, secret)}
    listed = {target: cache.workload(target) for target in targets}
    found |= {target: workload for target, workload in listed.items() if workload}
    return found, [target for target, workload in listed.items() if workload is None]


def consumer_of(workload: Workload, secret: str, cache: InformerCache, now: datetime) -> Consumer:
    """Return a workload as a consumer of `secret`, with the other managed Secrets that it references."""
    return Consumer(workload, workload.use_of(secret), tuple(_siblings(workload, secret, cache, now)))


def _siblings(workload: Workload, secret: str, cache: InformerCache, now: datetime) -> Iterator[Sibling]:
    for use in workload.uses:
        meta = cache.secret(workload.key.namespace, use.secret)
        if meta and meta.revision and use.secret != secret:
            yield Sibling(use.secret, meta.revision, plausible(meta.published, now))


@dataclass(frozen=True, slots=True)
class _Reads:
    """The pod reads of one observation."""

    context: Context
    known: _RolloutRecord
    last: Published | None
    """The last publication by this process."""
    made: dict[WorkloadKey, PodsSeen] = field(default_factory=dict)
    asked: set[WorkloadKey] = field(default_factory=set)
    """Workloads whose restarts were in question."""

    async def read(self, observed: Managed) -> Managed:
        """Read the pods of rollouts, and then of the workloads whose turn it is to restart, until none is left."""
        while True:
            for progress in progress_of_workloads(observed):
                observed = await self._of_rollout(progress, observed)
            asked = [one for one in restarts_in_question(observed) if one.workload.key not in self.asked]
            if not asked:
                return observed
            for consumer in asked:
                self.asked.add(consumer.workload.key)
                observed = await self._of_restart(consumer, observed)

    async def _of_rollout(self, progress: WorkloadProgress, observed: Managed) -> Managed:
        """Read the pods that show how far a rollout is, or what blocks it."""
        while True:
            consumer, workload = progress.consumer, progress.consumer.workload
            if self._depends_on_pods(progress, observed):
                if consumer.pods is not None and consumer.pods is self.made.get(workload.key):
                    return observed
                pods = await self._list_if_permitted(consumer, observed)
            elif progress.is_read_at_intervals and consumer.pods is None:
                first = _first_read(progress, observed)
                last = self.context.pods.last(workload, first, observed.now)
                pods = last or await self._list_if_permitted(consumer, observed)
            else:
                return observed
            progress = self._record(progress_of(observed, replace(consumer, pods=pods)), observed)
            observed = _with_consumer(progress.consumer, observed)

    async def _of_restart(self, consumer: Consumer, observed: Managed) -> Managed:
        """Read the pods of a workload that is to be restarted, waits for it, or may not be restarted.

        Those of one whose marker returns to an earlier revision, for a rollback, have that marker.
        """
        published = observed.target_published if observed.is_published else None
        if published and not self._has_not_changed(consumer.workload, observed):
            pods = await self._list(consumer, observed)
            consumer = replace(consumer, renewed=are_newer(pods.pods, published))
        elif goes_back(consumer, observed):
            pods = await self._list_if_permitted(consumer, observed)
        else:
            return observed
        return _with_consumer(replace(consumer, pods=pods), observed)

    def without_pods(self, observed: Managed) -> Managed:
        """Record that the pods are unknown on which a decision or a report depends."""
        for progress in progress_of_workloads(observed):
            if self._depends_on_pods(progress, observed) or progress.is_read_at_intervals:
                unknown = replace(progress.consumer, pods=PodsSeen(forbidden=True))
                observed = _with_consumer(unknown, observed)
        return observed

    def _depends_on_pods(self, progress: WorkloadProgress, observed: Managed) -> bool:
        consumer = progress.consumer
        if self.known.ended.get(consumer.workload.key) == _rollout_of(consumer, observed):
            return not waits_for_old_pods(progress, observed) and depends_on_pods(progress, observed)
        return depends_on_pods(progress, observed)

    async def _list(self, consumer: Consumer, observed: Managed) -> PodsSeen:
        key, began = consumer.workload.key, _began(consumer, observed)
        if key not in self.made or self.made[key].forbidden:
            self.made[key] = await self.context.pods.of_workload(consumer.workload, began, observed.now)
        return self.made[key]

    async def _list_if_permitted(self, consumer: Consumer, observed: Managed) -> PodsSeen:
        """Return the pods; a missing permission is a result."""
        try:
            return await self._list(consumer, observed)
        except errors.Forbidden:
            self.made[consumer.workload.key] = PodsSeen(forbidden=True)
            return self.made[consumer.workload.key]

    def _record(self, progress: WorkloadProgress, observed: Managed) -> WorkloadProgress:
        """Record that no pod has earlier values any more, or that such pods block new ones; return the progress."""
        consumer, key = progress.consumer, progress.consumer.workload.key
        if consumer.workload.settled and waits_for_old_pods(progress, observed):
            self.known.ended[key] = _rollout_of(consumer, observed)
        if may_be_blocked(progress) and terminating_pods_block(consumer, observed):
            self.known.blocked_since[key] = observed.now
            return progress_of(observed, replace(consumer, blocked_since=observed.now))
        return progress

    def _has_not_changed(self, workload: Workload, observed: Managed) -> bool:
        """Whether a workload is unchanged since the revision was published, so that its pods are older.

        No pod is replaced without a change of its owner's status, and resource versions grow (KEP-5504).
        """
        if self.last is None or self.last.number != observed.current.number:
            return False
        return not workload.idle and self.context.cache.version_of(workload.key) < self.last.version


def _with_consumer(consumer: Consumer, observed: Managed) -> Managed:
    """Replace a consumer in the observation."""
    key = consumer.workload.key
    return with_facts(
        observed, consumers=tuple(consumer if one.workload.key == key else one for one in observed.consumers)
    )


def _with_record(observed: Managed, record: _RolloutRecord) -> Managed:
    """Add what this process has seen of the rollouts before, and note what it sees now.

    A controller that has reported completion for a while has done so for good: a pod that is unavailable later does
    not revoke that.
    """
    pauses, completed, record.pauses, record.completed = record.pauses, record.completed, {}, {}
    was_complete, consumers = observed.is_recorded_complete, list[Consumer]()
    for consumer in observed.consumers:
        workload, key, rollout = consumer.workload, consumer.workload.key, _rollout_of(consumer, observed)
        if key not in record.blocked_since and was_blocked_before(workload, observed):
            record.blocked_since[key] = observed.now
        resumed: datetime | None = None
        if workload.paused:
            record.pauses[key] = None
        elif not workload.settled and (key in pauses or was_paused(workload, observed)):
            resumed = record.pauses[key] = pauses.get(key) or observed.now
        known, since = completed.get(key, (rollout, observed.now))
        since = since if known == rollout else observed.now
        is_lasting = not was_complete and observed.now - since >= _LASTING
        if is_lasting or (not was_complete and reports_completion(consumer, observed)):
            record.completed[key] = (rollout, since)
        blocked = record.blocked_since.get(key)
        consumers.append(replace(consumer, blocked_since=blocked, resumed=resumed, completed=is_lasting))
    return with_facts(observed, consumers=tuple(consumers))


def _drop_complete(observed: Managed, record: _RolloutRecord) -> None:
    """Drop records of workloads that are restarted or complete."""
    every_progress = progress_of_workloads(observed)
    complete = {one.consumer.workload.key for one in every_progress if waits_for_old_pods(one, observed)}
    blocked = {one.consumer.workload.key for one in every_progress if may_be_blocked(one)}
    record.ended = {key: rollout for key, rollout in record.ended.items() if key in complete}
    record.blocked_since = {key: when for key, when in record.blocked_since.items() if key in blocked}


def _rollout_of(consumer: Consumer, observed: Managed) -> _Rollout:
    """Identify a rollout by revision and restart time; no pod with earlier values starts before the next one."""
    return observed.current.number, consumer.workload.restarted


def _began(consumer: Consumer, observed: Managed) -> datetime:
    """Return when the rollout began."""
    published = observed.target_published
    return max(filter(None, (consumer.workload.restarted, published)), default=observed.now)


def _first_read(progress: WorkloadProgress, observed: Managed) -> datetime:
    """Return when the pods of a rollout are read first: most are complete before; a failure has its cause in them."""
    began = min(_began(progress.consumer, observed), observed.now)
    return began if progress.state is WorkloadState.FAILED else began + READ_GRACE


# Pods that no consumer controls


async def with_holders(key: ObjectKey, observed: Observed, memory: PodMemory, context: Context) -> Observed:
    """Add the pods that no consumer controls, if something is asserted about every pod of the namespace.

    A list that was requested after the publication serves until such a pod is found; then lists follow at intervals.
    If pods cannot be listed, `unread` has the error.

    Raises:
        ListPaused: The list is not new enough, and is read again later.
    """
    if not isinstance(observed, Managed) or not needs_holders(observed):
        return observed
    record, subject, now = memory.record(key), (observed.current.number, observed.published), loop_time()
    known = record.holders
    if known is None or known.subject != subject:
        known = record.holders = _Holders(subject, since=now)
    elif known.pods and (known.pods.again is None or observed.now < known.pods.again):
        return with_facts(observed, holders=known.pods)
    elif known.since <= known.read:  # half of the time since the last list: all that wait share the next
        known.since = (known.read + now) / 2
    try:
        found = await context.pods.of_namespace(key.namespace, known.since, partial(context.queue.add, key))
    except errors.NotLeading:
        raise
    except errors.ApiError as error:
        return with_facts(observed, holders=PodsSeen(forbidden=True), unread=error_of_list(error))
    pods = _holders_of(found, observed)
    pods = replace(pods, again=next_read_of_all(with_facts(observed, holders=pods)))
    known.pods, known.read = pods, loop_time()
    return with_facts(observed, holders=pods)


def _holders_of(found: PodsSeen, observed: Managed) -> PodsSeen:
    """Return the pods with earlier values of the Secret that belong to no consumer.

    A pod of an earlier template belongs to none if it uses other keys: a consumer is judged by its present keys.
    """
    using = tuple(pod for pod in found.pods if pod.use_of(observed.desired.secret))
    others = (
        pod
        for pod in pods_behind(with_facts(observed, holders=PodsSeen(using)))
        if not any(is_of(pod, one.workload) and _covers(one, pod) for one in observed.consumers)
    )
    return PodsSeen(tuple(others), forbidden=found.forbidden)


def _covers(consumer: Consumer, pod: Pod) -> bool:
    """Whether a consumer uses all keys that one of its pods does."""
    if consumer.use is None or consumer.use.keys is None:
        return True
    own = pod.use_of(consumer.use.secret)
    return own is None or (own.keys is not None and own.keys <= consumer.use.keys)
