"""Whether a ManagedSecret is as the last pass left it at rest, so that a new process need not observe it.

At its end a pass writes into the status until when the object rests, and a digest of all that this depends on: the
status itself, spec, class, versions of both Secrets, and workloads. It does so only in a write that is due anyway. An
object that depends on more than the informer cache, such as stores, database servers or equal values of other
environments, has no such record; one that was changed since has another digest. Both are observed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson
import pydantic

from keyturn.api.status import RestStatus, WorkloadState
from keyturn.core.rotation import steps
from keyturn.core.spec.desired import secret_of
from keyturn.core.state.state import state_name
from keyturn.core.times import to_second

from .consumers import workloads_of
from .secret_reads import versions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.core.keys import ObjectKey, WorkloadKey
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import StateFacts
    from keyturn.core.status.status import Outcome
    from keyturn.kube.cache.cache import InformerCache

    from .secret_reads import SecretReads

_FORMAT: Final = 1
"""Number of the facts below; another one makes every digest of the previous ones differ."""
_FIELD: Final = "rest"
_DIGITS: Final = 32

_Document: TypeAlias = "dict[str, Any]"


def rest_of(key: ObjectKey, cache: InformerCache) -> RestStatus | None:
    """Return the record of rest of an object for which nothing has changed since; None if it is to be observed."""
    body = cache.kept(key)
    if body is None or not has_record(body):
        return None
    try:
        rest = RestStatus.model_validate(body["status"][_FIELD])
    except pydantic.ValidationError:
        return None
    return rest if rest.digest == _digest(key, body, body["status"], cache) else None


def has_record(body: Mapping[str, Any]) -> bool:
    """Whether the status of an object has a record of rest, which may be outdated."""
    return bool(body["status"].get(_FIELD))


class RestConfirmations:
    """Records of rest that no pass of this version has confirmed yet, after another version was the leader."""

    def __init__(self) -> None:
        self._open: set[ObjectKey] = set()
        self._complete: Callable[[], None] | None = None

    def expect(self, keys: set[ObjectKey], complete: Callable[[], None]) -> None:
        """Call `complete` as soon as every key is confirmed."""
        self._open, self._complete = keys, complete
        self._check()

    def confirm(self, key: ObjectKey) -> None:
        """Note that a pass has ended, and has replaced a record that is wrong."""
        self._open.discard(key)
        self._check()

    def forget(self, key: ObjectKey) -> None:
        """Drop a deleted object."""
        self.confirm(key)

    def _check(self) -> None:
        if self._complete is not None and not self._open:
            complete, self._complete = self._complete, None
            complete()


@dataclass(frozen=True, slots=True)
class RestSeal:
    """Adds the record of rest to the changes of a status, at the end of a pass."""

    key: ObjectKey
    observed: Observed
    outcome: Outcome
    reads: SecretReads
    cache: InformerCache

    def __call__(self, changes: _Document, status: _Document) -> _Document:
        """Return the changes with the new record; the record is no reason to write, except if it is wrong."""
        before = self.observed.managed.status.rest
        if not changes and before is None:
            return changes
        digest = self._digest_as_observed(status)
        now = self._record(digest, status)
        if not changes and not (before and before.digest == digest and _ends_before(now, before)):
            return changes
        if now is None:
            return changes | ({} if before is None else {_FIELD: None})
        return changes | {_FIELD: now.model_dump(mode="json", by_alias=True, exclude_none=True)}

    def _digest_as_observed(self, status: _Document) -> str | None:
        """Return the digest; None if the cache has news that this pass did not observe."""
        body = self.cache.kept(self.key)
        if body is None or not _is_as_observed(self.key, self.observed, body, self.cache):
            return None
        return _digest(self.key, body, status, self.cache)

    def _record(self, digest: str | None, status: _Document) -> RestStatus | None:
        step, desired, state = self.outcome.step, self.observed.desired, self.observed.state
        if digest is None or self.outcome.error or not isinstance(step, steps.Rest):
            return None
        if desired is None or state is None or _waits(self.observed, status) or _reaches_out(desired, state):
            return None
        metas = (self.cache.secret(self.key.namespace, name) for name in _secrets(self.key, desired.secret))
        if self.reads.in_sync(self.key) != versions_of(self.observed, *metas):
            return None
        return RestStatus(until=to_second(step.until) if step.until else None, digest=digest)


def _ends_before(now: RestStatus | None, before: RestStatus) -> bool:
    """Whether an object does not rest as long as its record says."""
    if now is None:
        return True
    return now.until is not None and (before.until is None or now.until < before.until)


def _waits(observed: Observed, status: Mapping[str, Any]) -> bool:
    """Whether the object waits for pods, workloads or others, of which only this process knows."""
    waits = (
        observed.emergencies,
        observed.restart_wait,
        observed.denials,
        observed.holders and (observed.holders.pods or observed.holders.forbidden or observed.holders.again),
        observed.missing_targets,
        observed.dropped_status_fields,
        observed.unreleased_secrets,
        observed.mismatched_items,
        observed.has_wrong_binder,
        status.get("rotation"),
    )
    is_done = all(WorkloadState(one["state"]).is_done for one in status.get("workloads", ()))
    return any(waits) or not is_done or any(map(_waits_for_pods, observed.consumers))


def _waits_for_pods(consumer: Consumer) -> bool:
    """Whether pods are read again; those of a complete rollout are not, and none changes without its workload."""
    pods = consumer.pods
    return consumer.blocked_since is not None or (
        pods is not None and (pods.forbidden or pods.again is not None)
    )


def _reaches_out(desired: Desired, state: StateFacts) -> bool:
    """Whether the object depends on stores or on a database server, or has a revision that is not current yet."""
    return any(
        (
            desired.pulled,
            desired.pushes,
            desired.database,
            state.pushed,
            state.leases,
            state.credentials,
            state.candidate,
            state.rollback_pause,
        )
    )


def _is_as_observed(
    key: ObjectKey, observed: Observed, body: Mapping[str, Any], cache: InformerCache
) -> bool:
    """Whether the cache has what this pass has observed, and nothing newer; events arrive during a pass."""
    consumers = _consumers(key, secret_of(observed.managed), cache)
    return (
        body["metadata"]["resourceVersion"] == observed.managed.metadata.resource_version
        and cache.class_of(key) is observed.secret_class
        and consumers == {one.workload.key: one.workload for one in observed.consumers}
    )


def _digest(
    key: ObjectKey, body: Mapping[str, Any], status: Mapping[str, Any], cache: InformerCache
) -> str | None:
    """Return a digest of a status and of the facts in the cache; None if the object depends on others."""
    facts = _facts(key, body, cache)
    if facts is None:
        return None
    told = {name: part for name, part in status.items() if name != _FIELD}
    written = orjson.dumps([_FORMAT, facts, told], default=_plain, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(written).hexdigest()[:_DIGITS]


def _facts(key: ObjectKey, body: Mapping[str, Any], cache: InformerCache) -> list[Any] | None:
    metadata, spec = body["metadata"], body["spec"]
    labels = metadata.get("labels") or {}
    if metadata.get("deletionTimestamp"):
        return None
    if cache.environment(key.namespace) or cache.emergencies.of(key, labels):
        return None
    secret = (spec.get("target") or {}).get("name") or key.name
    versions = [_version_of(key, name, cache) for name in _secrets(key, secret)]
    consumers = _consumers(key, secret, cache)
    if None in versions or consumers is None or cache.written_by(key) - {secret}:
        return None
    class_, name = cache.class_of(key), cache.class_name(spec.get("className"))
    return [
        [metadata.get("uid"), metadata.get("generation"), labels],
        [metadata.get("annotations"), metadata.get("finalizers")],
        [name, class_.metadata.uid if class_ else "", class_.metadata.generation if class_ else 0],
        versions,
        [[consumers[one], _siblings(consumers[one], secret, cache)] for one in sorted(consumers)],
        cache.sees_namespaces,
    ]


def _secrets(key: ObjectKey, secret: str) -> tuple[str, str]:
    """Return the names of both Secrets in the order of their versions."""
    return state_name(key.name), secret


def _version_of(key: ObjectKey, name: str, cache: InformerCache) -> tuple[str, str] | None:
    """Return UID and version of a Secret of the object; None if it is absent or has another owner."""
    meta = cache.secret(key.namespace, name)
    return (meta.uid, meta.resource_version) if meta and meta.owner == key.name else None


def _consumers(key: ObjectKey, secret: str, cache: InformerCache) -> dict[WorkloadKey, Workload] | None:
    """Return the workloads that use the Secret or that the spec lists; None if one of these is absent."""
    found, missing = workloads_of(key.namespace, secret, cache.targets_of(key), cache)
    return None if missing else found


def _siblings(workload: Workload, secret: str, cache: InformerCache) -> list[tuple[str, int | None]]:
    """Return the revisions of the other managed Secrets of a workload, which may restart it."""
    others = (use.secret for use in workload.uses if use.secret != secret)
    metas = (cache.secret(workload.key.namespace, other) for other in others)
    return [(meta.name, meta.revision) for meta in metas if meta]


def _plain(unordered: object) -> list[str]:
    """Return the keys of a Secret that a workload uses in a fixed order."""
    if isinstance(unordered, frozenset):
        return sorted(unordered)
    raise TypeError
