"""Uses of Secrets under earlier names of the target, which keep their values, as far as an emergency depends on them.

The informer does not see a released Secret, so it is read while a workload uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.observation.observed import FormerUse, with_facts
from keyturn.kube import errors, paths
from keyturn.kube.target_secret import values_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.state.state import LeftSecret
    from keyturn.kube.client import Body

    from .secret_reads import SecretReads

__all__ = ["AbsentSecrets", "with_former_uses"]


class AbsentSecrets:
    """When this process first saw Secrets under earlier names absent, by ManagedSecret."""

    def __init__(self) -> None:
        self._since: dict[ObjectKey, dict[str, datetime]] = {}

    def since(self, key: ObjectKey, name: str, now: datetime) -> datetime:
        return self._since.setdefault(key, {}).setdefault(name, now)

    def forget(self, key: ObjectKey) -> None:
        self._since.pop(key, None)


async def with_former_uses(
    key: ObjectKey, observed: Observed, absent: AbsentSecrets, secrets: SecretReads, context: Context
) -> Observed:
    """Add the workloads that use a Secret under an earlier name with values that the target no longer has.

    Raises:
        ApiError: A released Secret, or the pods of a workload, could not be read.
    """
    state, desired = observed.state, observed.desired
    if state is None or desired is None or not any(one.is_open for one in observed.emergencies):
        absent.forget(key)
        return observed
    lefts = {one.name: one for one in (*state.left, *observed.left) if one.name != desired.secret}
    uses = [
        FormerUse(user.key, left)
        for left in lefts.values()
        async for user in _users(left, key, observed.now, absent, secrets, context)
    ]
    return with_facts(observed, former_uses=tuple(uses))


async def _users(
    left: LeftSecret,
    key: ObjectKey,
    now: datetime,
    absent: AbsentSecrets,
    secrets: SecretReads,
    context: Context,
) -> AsyncIterator[Workload]:
    """Yield the workloads that use a Secret; none if it is another one by now, or has other values."""
    users = context.cache.users_of(key.namespace, left.name)
    if not users:
        return
    found: Body | None = None
    if meta := context.cache.secret(key.namespace, left.name):
        has_values = (meta.owner, meta.uid) == (key.name, left.uid)
    else:
        found = await _find(key.namespace, left.name, context)
        has_values = found is None or await _has_values(found, left, key, secrets)
    is_gone = meta is None and found is None
    for user in users if has_values else ():
        # Without the Secret, pods that have read it still have its values.
        if not is_gone or await _has_pods_since(user, absent.since(key, left.name, now), context):
            yield user


async def _find(namespace: str, name: str, context: Context) -> Body | None:
    try:
        return await context.api.get(paths.secret(namespace, name))
    except errors.NotFound:
        return None


async def _has_values(found: Body, left: LeftSecret, key: ObjectKey, secrets: SecretReads) -> bool:
    """Whether a Secret is the one that was left, and has a value of its revision that is no longer current."""
    if found["metadata"]["uid"] != left.uid:
        return False
    state = await secrets.state(key)
    revision = state.revisions.get(left.number) if state else None
    if state is None or revision is None:
        return True  # its values are dropped, so that none can be compared
    current, there = state.current.data(), values_of(found)
    return any(
        there.get(name) == value for name, value in revision.data().items() if current.get(name) != value
    )


async def _has_pods_since(workload: Workload, time: datetime, context: Context) -> bool:
    """Whether a workload has pods from before a time, or RBAC forbids to list them."""
    try:
        seen = await context.pods.read_ages(workload)
    except errors.Forbidden:
        return True
    return any(pod.created <= time for pod in seen.pods)
