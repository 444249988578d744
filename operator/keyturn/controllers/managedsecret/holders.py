"""Pods with earlier values that no consumer controls, and uses of Secrets under earlier names of the target.

Pods are read if something is asserted about all pods of the namespace. A list that was requested after the
publication serves until such a pod is found; then lists follow at intervals. A Secret under an earlier name keeps
its values, as far as an emergency depends on them. The informer does not see a released Secret, so it is read while
a workload or a pod uses it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from keyturn.core.observation.observed import FormerUse, with_facts
from keyturn.core.observation.pods import Holders, is_of
from keyturn.core.rotation.holders import holds_back, next_read, pods_behind
from keyturn.core.rotation.old_pods import followed_secrets, revision_held
from keyturn.core.rotation.pod_reads import needs_holders
from keyturn.core.times import time_of
from keyturn.kube import errors, paths
from keyturn.kube.target_secret import values_of
from keyturn.runtime.clock import loop_time

from .retries import error_of_list

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import HoldingPod
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import LeftSecret
    from keyturn.core.value import Value
    from keyturn.kube.namespace_pods import PodList
    from keyturn.kube.wire import Body

    from .secret_reads import SecretReads

_Subject: TypeAlias = "tuple[int, datetime, tuple[LeftSecret, ...]]"
"""The revision, the time of its publication, and the Secrets under earlier names."""


class _KnownHolders(NamedTuple):
    """The last result for one ManagedSecret."""

    subject: _Subject
    holders: Holders
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
    subject = (observed.state.current_number, observed.published, followed_secrets(observed))
    known = memory.known(key)
    if known is not None and known.subject == subject and _is_recent(known, observed):
        return with_facts(observed, holders=known.holders)
    since, wake = memory.requested(key, subject), partial(context.wake, key)
    try:
        found = await context.namespace_pods.read(key.namespace, since, wake)
        holders = await _name_owners(_holders_of(found, observed, desired), key.namespace, context)
    except errors.NotLeading:
        raise
    except errors.ApiError as error:
        return with_facts(observed, holders=Holders(forbidden=True), unread=error_of_list(error))
    observed = with_facts(observed, holders=holders)
    again = next_read(observed) if holders.former or holds_back(observed, desired) else None
    holders = replace(holders, again=again)
    memory.keep(key, _KnownHolders(subject, holders, loop_time()))
    return with_facts(observed, holders=holders)


async def _name_owners(holders: Holders, namespace: str, context: Context) -> Holders:
    """Return the pods with their topmost owners."""
    return replace(
        holders,
        pods=await context.job_owners.name(namespace, holders.pods),
        former=await context.job_owners.name(namespace, holders.former),
    )


def _is_recent(known: _KnownHolders, observed: Observed) -> bool:
    return known.holders.again is None or observed.now < known.holders.again


def _holders_of(found: PodList, observed: Observed, desired: Desired) -> Holders:
    """Return the pods with earlier values of the Secret that belong to no consumer, and those with earlier names.

    A pod of an earlier template belongs to none if it uses other keys: a consumer is judged by its present keys.
    """
    using = tuple(pod for pod in found.pods if pod.use_of(desired.secret))
    older = pods_behind(with_facts(observed, holders=Holders(using)), desired)
    others = (
        pod
        for pod in older
        if not any(
            is_of(pod, consumer.workload) and _covers(consumer, pod) for consumer in observed.consumers
        )
    )
    names = {left.name for left in followed_secrets(observed)}
    former = (pod for pod in found.pods if any(use.secret in names for use in pod.uses))
    return Holders(tuple(others), found.forbidden, tuple(former))


def _covers(consumer: Consumer, pod: HoldingPod) -> bool:
    """Whether a consumer uses all keys that one of its pods does."""
    if consumer.use is None or consumer.use.keys is None:
        return True
    own = pod.use_of(consumer.use.secret)
    return own is None or (own.keys is not None and own.keys <= consumer.use.keys)


_STILL: Final = datetime.max.replace(tzinfo=UTC)
"""The Secret has the values that were left."""


class ChangedSecrets:
    """When this process first saw Secrets under earlier names without the values that were left, by ManagedSecret."""

    def __init__(self) -> None:
        self._since: dict[ObjectKey, dict[str, datetime]] = {}

    def note(self, key: ObjectKey, name: str, time: datetime) -> datetime:
        """Note that a Secret had other values at a time; return the first such time."""
        return self._since.setdefault(key, {}).setdefault(name, time)

    def drop(self, key: ObjectKey, name: str) -> None:
        """Drop the time of a Secret that has the values again."""
        self._since.get(key, {}).pop(name, None)

    def forget(self, key: ObjectKey) -> None:
        self._since.pop(key, None)


async def with_former_uses(
    key: ObjectKey, observed: Observed, changed: ChangedSecrets, secrets: SecretReads, context: Context
) -> Observed:
    """Add the users of Secrets under earlier names that may have values which the target no longer has.

    Raises:
        ApiError: A released Secret could not be read.
    """
    followed = followed_secrets(observed)
    if not followed:
        changed.forget(key)
        return observed
    uses: dict[tuple[str, str], FormerUse] = {}
    for left in followed:
        until = await _until(left, key, observed, changed, secrets, context)
        for use in _uses(left, key, until, observed, context):
            known = uses.setdefault((use.user, left.name), use)
            if use.number < known.number:
                uses[use.user, left.name] = use
    return with_facts(observed, former_uses=tuple(uses.values()))


def _uses(
    left: LeftSecret, key: ObjectKey, until: datetime | None, observed: Observed, context: Context
) -> Iterator[FormerUse]:
    """Yield the workloads whose next pods read the values that were left, and the owners of pods that may have."""
    if until is _STILL:
        for workload in context.cache.users_of(key.namespace, left.name):
            yield FormerUse(str(workload.key), left, left.number)
    for pod in observed.holders.former if observed.holders else ():
        use = pod.use_of(left.name)
        number = revision_held(pod.began, use, left, until, observed) if use else None
        if number is not None:
            yield FormerUse("/".join(pod.owner), left, number)


async def _until(
    left: LeftSecret,
    key: ObjectKey,
    observed: Observed,
    changed: ChangedSecrets,
    secrets: SecretReads,
    context: Context,
) -> datetime | None:
    """Return the last time at which a Secret may have had values that were left and that the target no longer has.

    None if it is not used, or if these values are all current.
    """
    pods = observed.holders.former if observed.holders else ()
    if not any(pod.use_of(left.name) for pod in pods) and not context.cache.users_of(
        key.namespace, left.name
    ):
        return None
    state = await secrets.state(key)
    revision = state.revisions.get(left.number) if state else None
    lost = None  # its values are dropped, so that none can be compared
    if state is not None and revision is not None:
        current = state.current.data()
        lost = {name: value for name, value in revision.data().items() if current.get(name) != value}
        if not lost:
            return None
    meta = context.cache.secret(key.namespace, left.name)
    if meta is not None and (meta.owner, meta.uid) == (key.name, left.uid):
        return _STILL
    found = await _find(key.namespace, left.name, context)
    if found is None and not observed.has_open_emergency:
        return None  # pods that have read it ended before this secret was done
    if found is not None and _has_values(found, left, lost):
        changed.drop(key, left.name)
        return _STILL
    first = changed.note(key, left.name, observed.now)
    return min(first, _changed_at(found) or first)


async def _find(namespace: str, name: str, context: Context) -> Body | None:
    try:
        return await context.api.get(paths.secret(namespace, name))
    except errors.NotFound:
        return None


def _has_values(found: Body, left: LeftSecret, lost: Mapping[str, Value] | None) -> bool:
    """Whether a Secret has one of the values that only the Secret that was left had."""
    if lost is None:
        return bool(found["metadata"]["uid"] == left.uid)
    there = values_of(found)
    return any(there.get(name) == value for name, value in lost.items())


def _changed_at(found: Body | None) -> datetime | None:
    """Return when the values of a Secret last changed, at the latest; None if that is unknown."""
    if found is None:
        return None
    times = [time_of(entry.get("time")) for entry in found["metadata"].get("managedFields") or ()]
    return max((time for time in times if time), default=None)
