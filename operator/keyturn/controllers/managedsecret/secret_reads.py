"""State and target Secret, each read once per pass and neither while both are in sync with the spec; their writes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from keyturn.controllers.context import Context
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.observation.observed import Observed, Restarted
from keyturn.core.spec.desired import secret_of
from keyturn.core.state.state import State, StateFacts, state_name
from keyturn.kube import errors, paths
from keyturn.kube.secret_informer import SecretMeta, SourceKind, meta_of
from keyturn.kube.state_secret import state_of
from keyturn.kube.target_secret import owner_of
from keyturn.kube.wire import Body

Versions: TypeAlias = tuple[str | int, ...]


@dataclass(slots=True)
class _SecretRecord:
    """Both Secrets of one ManagedSecret; `state` and `target` have values, and are kept only during a pass."""

    facts: StateFacts | None = None
    in_sync: Versions | None = None
    """Versions of both Secrets, of spec and class, that were in sync."""
    is_doubted: bool = False
    """Whether the values are to be read by the next observation, even if this one ends in sync."""
    foreign: frozenset[str] = frozenset()
    """Names of existing Secrets without our label, which the informer does not see."""
    state: State | None = None
    state_version: str | None = None
    """Resource version of the state Secret that `state` was read from or written as."""
    target: Body | None = None


class SecretReads:
    """State and target Secrets as read and written by this process, by ManagedSecret."""

    def __init__(self, context: Context) -> None:
        self.listed = ListedSecrets()
        self._context = context
        self._records: dict[ObjectKey, _SecretRecord] = {}

    # Reads

    async def meta(self, key: ObjectKey, name: str) -> SecretMeta | None:
        """Return the metadata of a Secret.

        The informer sees only Secrets with our label. Others are read if they were in the way before, or always if
        the operator does not watch Secrets.
        """
        known = self._context.cache.secret(key.namespace, name)
        record = self._record(key)
        if known or (self._context.source_kind is SourceKind.WATCH and name not in record.foreign):
            record.foreign -= {name}
            return known
        try:
            body = await self._context.api.get(paths.secret(key.namespace, name), metadata_only=True)
        except errors.NotFound:
            record.foreign -= {name}
            return None
        meta = meta_of(body)
        if meta.owner:
            self._context.cache.put_secret(meta)
        return meta

    async def state(self, key: ObjectKey) -> State | None:
        """Read the state Secret with its values, once per pass.

        Raises:
            Stalled: It is no valid state.
        """
        record = self._record(key)
        if record.state is None:
            body = await self._read(key, state_name(key.name))
            record.state = state_of(body) if body else None
            record.state_version = body["metadata"]["resourceVersion"] if body else None
        return record.state

    def state_version(self, key: ObjectKey) -> str | None:
        """Return the resource version of the state that was read or written last; None without one."""
        return self._record(key).state_version

    async def target(self, key: ObjectKey, name: str) -> Body | None:
        """Read the target Secret, once per pass."""
        record = self._record(key)
        if record.target is None:
            record.target = await self._read(key, name)
        return record.target

    async def _read(self, key: ObjectKey, name: str) -> Body | None:
        if listed := self._take_listed(key, name):
            return listed
        try:
            body = await self._context.api.get(paths.secret(key.namespace, name))
        except errors.NotFound:
            self._context.cache.drop_secret(replace(key, name=name))
            return None
        if owner_of(body):
            self._context.cache.put_secret(meta_of(body))
        return body

    def _take_listed(self, key: ObjectKey, name: str) -> Body | None:
        """Return a Secret that a list has returned, if the informer has no other version of it."""
        body = self.listed.take(key, name)
        if body is None:
            return None
        meta, cache = meta_of(body), self._context.cache
        cache.put_secret(meta)
        known = cache.secret(key.namespace, name)
        return body if known and known.resource_version == meta.resource_version else None

    # Facts

    def is_known(self, key: ObjectKey) -> bool:
        """Whether a pass has read the state Secret since the start."""
        record = self._records.get(key)
        return record is not None and record.facts is not None

    def facts_in_sync(self, key: ObjectKey, versions: Versions) -> StateFacts | None:
        """Return the facts of the state if both Secrets were in sync at these versions, and need not be read."""
        record = self._record(key)
        if record.is_doubted:
            record.is_doubted = False
            return None
        return record.facts if record.in_sync == versions else None

    def in_sync(self, key: ObjectKey) -> Versions | None:
        """Return the versions at which both Secrets were in sync last; None if they were not, or in doubt."""
        record = self._records.get(key)
        return None if record is None or record.is_doubted else record.in_sync

    def keep_facts(self, key: ObjectKey, facts: StateFacts | None, in_sync: Versions | None) -> None:
        """Keep the facts of the state, and the versions at which both Secrets are in sync; None if they are not."""
        record = self._record(key)
        record.facts, record.in_sync = facts, None if record.is_doubted else in_sync

    def doubt(self, key: ObjectKey) -> None:
        """Have both Secrets read by the next observation; a pass in progress may have read them before."""
        if record := self._records.get(key):
            record.in_sync, record.is_doubted = None, True

    def read_unlabelled(self, key: ObjectKey, name: str) -> None:
        """Have a Secret read by its name, though the informer does not see it."""
        self._record(key).foreign |= {name}

    # Writes

    def put_state(self, key: ObjectKey, state: State, version: str) -> None:
        """Keep a state that was just written."""
        record = self._record(key)
        record.state, record.state_version = state, version
        record.facts, record.in_sync = state.facts, None

    def put_target(self, key: ObjectKey, body: Body) -> None:
        """Keep a target Secret that was just written."""
        self._record(key).target = body

    def put_in_sync(self, key: ObjectKey, observed: Observed) -> None:
        """Record that the target Secret was just written in sync; the next observation reads neither Secret."""
        record, cache = self._record(key), self._context.cache
        state_meta = cache.secret(key.namespace, state_name(key.name))
        target_meta = cache.secret(key.namespace, secret_of(observed.managed))
        if not state_meta or state_meta.resource_version != record.state_version or observed.mismatched_items:
            return  # another writer changed the state meanwhile
        if record.is_doubted or is_left_immutable(observed):
            return
        record.in_sync = versions_of(observed, state_meta, target_meta)

    # End

    def forget_values(self, key: ObjectKey) -> None:
        self.listed.drop(key)
        if record := self._records.get(key):
            record.state = record.target = None

    def forget(self, key: ObjectKey) -> None:
        self.listed.drop(key)
        self._records.pop(key, None)

    def _record(self, key: ObjectKey) -> _SecretRecord:
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _SecretRecord()
        return record


def is_left_immutable(observed: Observed) -> bool:
    """Whether the target stays immutable although the spec asks for it no more: only a read of it shows that."""
    target, desired = observed.target, observed.desired
    return (
        target is not None
        and target.immutable
        and desired is not None
        and not desired.target_policy.immutable
    )


def versions_of(observed: Observed, *metas: SecretMeta | None) -> Versions:
    """Return the versions of Secrets, of spec and class."""
    of_class = observed.secret_class.metadata.resource_version if observed.secret_class else ""
    return (
        *(meta.resource_version if meta else "" for meta in metas),
        observed.managed.metadata.generation,
        of_class,
    )


class ListedSecrets:
    """Secrets with values by ManagedSecret and name; each is taken once, and none outlives the next pass."""

    def __init__(self) -> None:
        self._bodies: dict[ObjectKey, dict[str, Body]] = {}
        self._empty = asyncio.Event()

    def put(self, key: ObjectKey, bodies: Mapping[str, Body]) -> None:
        """Keep the Secrets of an object whose pass is about to start."""
        self._bodies[key] = dict(bodies)

    def take(self, key: ObjectKey, name: str) -> Body | None:
        """Remove and return a Secret, if the list has returned it."""
        bodies = self._bodies.get(key)
        if bodies is None:
            return None
        body = bodies.pop(name, None)
        if not bodies:
            self.drop(key)
        return body

    def drop(self, key: ObjectKey) -> None:
        """Drop the Secrets of an object that its pass has not taken."""
        if self._bodies.pop(key, None) is not None and not self._bodies:
            self._empty.set()

    def clear(self) -> None:
        """Drop all Secrets."""
        self._bodies.clear()
        self._empty.set()

    async def wait_until_empty(self) -> None:
        """Wait until all Secrets are taken or dropped."""
        if self._bodies:
            self._empty.clear()
            await self._empty.wait()


class Published(NamedTuple):
    """A revision that was written to the target Secret, and the resource version of that write."""

    number: int
    version: int


@dataclass(frozen=True, slots=True)
class Writing:
    """A write of a Secret that the API server has not answered yet."""

    name: str
    observed: set[str] = field(default_factory=set)
    """Resource versions that the watch reported meanwhile: an event often arrives before the answer."""


class WriteMemory:
    """Writes of Secrets by this process, by ManagedSecret."""

    def __init__(self) -> None:
        self._writing: dict[ObjectKey, Writing] = {}
        self._published: dict[ObjectKey, Published] = {}

    def begin(self, key: ObjectKey, name: str) -> Writing:
        writing = self._writing[key] = Writing(name)
        return writing

    def end(self, key: ObjectKey) -> None:
        self._writing.pop(key, None)

    def note_if_writing(self, key: ObjectKey, meta: SecretMeta) -> bool:
        """Note the version that the watch reports, if the Secret is being written; return whether it is.

        The answer of the write decides whether another writer has changed the Secret.
        """
        writing = self._writing.get(key)
        if writing is None or writing.name != meta.name:
            return False
        writing.observed.add(meta.resource_version)
        return True

    def published(self, key: ObjectKey) -> Published | None:
        return self._published.get(key)

    def publish(self, key: ObjectKey, number: int, version: str) -> None:
        """Record a revision that was written to the target Secret."""
        self._published[key] = Published(number, int(version))

    def forget(self, key: ObjectKey) -> None:
        self._writing.pop(key, None)
        self._published.pop(key, None)


class Restarts:
    """Restarts of workloads by this process with the current revision, by ManagedSecret.

    Another writer may remove the marker before the status has the restart.
    """

    def __init__(self) -> None:
        self._restarts: dict[ObjectKey, tuple[int, dict[WorkloadKey, Restarted]]] = {}

    def of(self, key: ObjectKey, current: int) -> Mapping[WorkloadKey, Restarted]:
        """Return the restarts with the current revision; those with another end, even if it returns."""
        number, written = self._restarts.get(key, (current, {}))
        if number != current:
            self.forget(key)
            return {}
        return dict(written)

    def record(self, key: ObjectKey, number: int, workload: WorkloadKey, done: Restarted) -> None:
        """Record a restart for a revision, in place of those for another one."""
        before, written = self._restarts.get(key, (number, {}))
        others = written if before == number else {}
        self._restarts[key] = (number, others | {workload: done})

    def forget(self, key: ObjectKey) -> None:
        self._restarts.pop(key, None)
