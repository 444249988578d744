"""Uses of Secrets under earlier names of the target, which keep their values, as far as an emergency depends on them.

The informer does not see a released Secret, so it is read while a workload or another pod uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.observation.holders import is_of
from keyturn.core.observation.observed import FormerUse, with_facts
from keyturn.kube import errors, paths
from keyturn.kube.secret_informer import time_of
from keyturn.kube.target_secret import values_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.holders import HoldingPod
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.state.state import LeftSecret
    from keyturn.kube.client import Body

    from .secret_reads import SecretReads

__all__ = ["ChangedSecrets", "with_former_uses"]


class ChangedSecrets:
    """When this process first saw Secrets under earlier names without the values that were left, by ManagedSecret."""

    def __init__(self) -> None:
        self._since: dict[ObjectKey, dict[str, datetime]] = {}

    def since(self, key: ObjectKey, name: str, now: datetime) -> datetime:
        return self._since.setdefault(key, {}).setdefault(name, now)

    def forget(self, key: ObjectKey) -> None:
        self._since.pop(key, None)


async def with_former_uses(
    key: ObjectKey, observed: Observed, changed: ChangedSecrets, secrets: SecretReads, context: Context
) -> Observed:
    """Add the users of a Secret under an earlier name with values that the target no longer has.

    Raises:
        ApiError: A released Secret, or the pods of a workload, could not be read.
    """
    if not observed.former_secrets:
        changed.forget(key)
        return observed
    uses = [
        FormerUse(user, left)
        for left in observed.former_secrets
        async for user in _users(left, key, observed, changed, secrets, context)
    ]
    return with_facts(observed, former_uses=tuple(uses))


async def _users(
    left: LeftSecret,
    key: ObjectKey,
    observed: Observed,
    changed: ChangedSecrets,
    secrets: SecretReads,
    context: Context,
) -> AsyncIterator[str]:
    """Yield the users of a Secret with the values that were left, and those whose pods may have read them."""
    workloads = context.cache.users_of(key.namespace, left.name)
    pods = _other_pods(left, workloads, observed)
    if not workloads and not pods:
        return
    meta = context.cache.secret(key.namespace, left.name)
    found, has_values = None, True
    if meta is None or (meta.owner, meta.uid) != (key.name, left.uid):
        found = await _find(key.namespace, left.name, context)
        has_values = found is not None and await _has_values(found, left, key, secrets)
    since = None if has_values else _changed_at(found) or changed.since(key, left.name, observed.now)
    for workload in workloads:
        if since is None or await _has_pods_since(workload, since, context):
            yield str(workload.key)
    for owner in sorted({pod.owner for pod in pods if since is None or pod.began <= since}):
        yield "/".join(owner)


def _other_pods(left: LeftSecret, workloads: Collection[Workload], observed: Observed) -> list[HoldingPod]:
    """Return the pods that use a Secret and that none of its workloads controls; none if pods were not read."""
    pods = observed.holders.former if observed.holders else ()
    return [
        pod
        for pod in pods
        if pod.use_of(left.name) and not any(is_of(pod, workload) for workload in workloads)
    ]


async def _find(namespace: str, name: str, context: Context) -> Body | None:
    try:
        return await context.api.get(paths.secret(namespace, name))
    except errors.NotFound:
        return None


async def _has_values(found: Body, left: LeftSecret, key: ObjectKey, secrets: SecretReads) -> bool:
    """Whether a Secret has a value of the revision that was left, which the target no longer has."""
    state = await secrets.state(key)
    revision = state.revisions.get(left.number) if state else None
    if state is None or revision is None:  # its values are dropped, so that none can be compared
        return bool(found["metadata"]["uid"] == left.uid)
    current, there = state.current.data(), values_of(found)
    return any(
        there.get(name) == value for name, value in revision.data().items() if current.get(name) != value
    )


def _changed_at(found: Body | None) -> datetime | None:
    """Return when the values of a Secret last changed, at the latest; None if that is unknown."""
    if found is None:
        return None
    times = [time_of(entry.get("time")) for entry in found["metadata"].get("managedFields") or ()]
    return max((time for time in times if time), default=None)


async def _has_pods_since(workload: Workload, time: datetime, context: Context) -> bool:
    """Whether a workload has pods from before a time, or RBAC forbids to list them."""
    try:
        seen = await context.pods.read_ages(workload)
    except errors.Forbidden:
        return True
    return any(pod.created <= time for pod in seen.pods)
