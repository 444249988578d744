"""Uses of Secrets under earlier names of the target, which keep their values, as far as an emergency depends on them.

The informer does not see a released Secret, so it is read while a workload or a pod uses it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keyturn.core.observation.observed import FormerUse, with_facts
from keyturn.core.rotation.old_pods import followed_secrets, revision_held
from keyturn.core.times import time_of
from keyturn.kube import errors, paths
from keyturn.kube.target_secret import values_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.state.state import LeftSecret
    from keyturn.core.value import Value
    from keyturn.kube.wire import Body

    from .secret_reads import SecretReads

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
