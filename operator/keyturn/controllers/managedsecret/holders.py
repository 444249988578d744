"""Pods with earlier values that no consumer controls.

They are read if something is asserted about all pods of the namespace. A list that was requested after the
publication serves until such a pod is found; then lists follow at intervals.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from keyturn.core.observation.observed import with_facts
from keyturn.core.observation.pods import PodsSeen, is_of
from keyturn.core.rotation.old_pods import holds_back, next_read, pods_behind
from keyturn.core.rotation.pod_reads import needs_holders
from keyturn.kube import errors
from keyturn.runtime.clock import loop_time

from .retries import error_of_list

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import Pod
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.namespace_pods import PodList

_Subject: TypeAlias = "tuple[int, datetime]"
"""The revision, and the time of its publication."""


class _KnownHolders(NamedTuple):
    """The last result for one ManagedSecret."""

    subject: _Subject
    holders: PodsSeen
    read: float
    """When it was read, by the process's monotonic clock."""


class HolderMemory:
    """Pods that no consumer controls, by ManagedSecret."""

    def __init__(self) -> None:
        self._known: dict[ObjectKey, _KnownHolders] = {}
        self._requests: dict[ObjectKey, tuple[_Subject, float]] = {}
        """Requests of a list that are not served, with the time from which one serves them."""

    def known(self, key: ObjectKey) -> _KnownHolders | None:
        return self._known.get(key)

    def requested(self, key: ObjectKey, subject: _Subject) -> float:
        """Return the time from which a list serves; it stays until one does, so that all that wait share the next.

        This is the time of the first request, and later half of the time since the last list.
        """
        request = self._requests.get(key)
        if request is None or request[0] != subject:
            now, known = loop_time(), self._known.get(key)
            last = known.read if known and known.subject == subject else now
            request = subject, (last + now) / 2
            self._requests[key] = request
        return request[1]

    def keep(self, key: ObjectKey, known: _KnownHolders) -> None:
        self._requests.pop(key, None)
        self._known[key] = known

    def note_eviction(self, key: ObjectKey, uid: str) -> None:
        """Note a pod whose eviction is requested, until pods are read again."""
        if known := self._known.get(key):
            tried = known.holders.tried | {uid}
            self._known[key] = known._replace(holders=replace(known.holders, tried=tried))

    def forget(self, key: ObjectKey) -> None:
        self._requests.pop(key, None)
        self._known.pop(key, None)


async def with_holders(
    key: ObjectKey, observed: Observed, memory: HolderMemory, context: Context
) -> Observed:
    """Add the pods that no consumer controls, if something is asserted about every pod of the namespace.

    If they cannot be listed, `unread` has the error.

    Raises:
        ListPaused: The list is not new enough, and is read again later.
    """
    desired = observed.desired
    if desired is None or observed.state is None or not needs_holders(observed):
        return observed
    subject = (observed.state.current_number, observed.published)
    known = memory.known(key)
    if known is not None and known.subject == subject and _is_recent(known, observed):
        return with_facts(observed, holders=known.holders)
    since, wake = memory.requested(key, subject), partial(context.wake, key)
    try:
        found = await context.namespace_pods.read(key.namespace, since, wake)
        holders = _holders_of(found, observed, desired)
    except errors.NotLeading:
        raise
    except errors.ApiError as error:
        return with_facts(observed, holders=PodsSeen(forbidden=True), unread=error_of_list(error))
    observed = with_facts(observed, holders=holders)
    again = next_read(observed) if holds_back(observed, desired) else None
    holders = replace(holders, again=again)
    memory.keep(key, _KnownHolders(subject, holders, loop_time()))
    return with_facts(observed, holders=holders)


def _is_recent(known: _KnownHolders, observed: Observed) -> bool:
    return known.holders.again is None or observed.now < known.holders.again


def _holders_of(found: PodList, observed: Observed, desired: Desired) -> PodsSeen:
    """Return the pods with earlier values of the Secret that belong to no consumer.

    A pod of an earlier template belongs to none if it uses other keys: a consumer is judged by its present keys.
    """
    using = tuple(pod for pod in found.pods if pod.use_of(desired.secret))
    older = pods_behind(with_facts(observed, holders=PodsSeen(using)), desired)
    others = (
        pod
        for pod in older
        if not any(
            is_of(pod, consumer.workload) and _covers(consumer, pod) for consumer in observed.consumers
        )
    )
    return PodsSeen(tuple(others), forbidden=found.forbidden)


def _covers(consumer: Consumer, pod: Pod) -> bool:
    """Whether a consumer uses all keys that one of its pods does."""
    if consumer.use is None or consumer.use.keys is None:
        return True
    own = pod.use_of(consumer.use.secret)
    return own is None or (own.keys is not None and own.keys <= consumer.use.keys)
