"""What all controllers share: clients, cache and clock; background jobs; events that wait for the answer to a write.

The watch often reports a write before its answer arrives. Without `OwnWrites`, the event of an own status write
would cause another reconcile, and that of a SecretClass a reconcile of each user. An answer may take until the
timeout of a request. An event that cannot be of the write does not wait: a deletion, or one of another generation
than the write leaves.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from keyturn.api import API_VERSION
from keyturn.api.base import Schema
from keyturn.api.meta import Metadata
from keyturn.checklist.monitor import ClusterEvidence
from keyturn.core.keys import EmergencyKey, ObjectKey, ProbeKey, StoreKey, TargetKey
from keyturn.core.observation.emergency import Readership
from keyturn.databases import Databases
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.client import Api
from keyturn.kube.events import Events
from keyturn.kube.pod_lists import PodLists
from keyturn.kube.secret_informer import SourceKind
from keyturn.kube.wire import Body
from keyturn.runtime import failpoints
from keyturn.runtime.clock import loop_time
from keyturn.runtime.reach import Reach
from keyturn.stores import Stores

from .workqueue import WorkQueue

T = TypeVar("T")
Key: TypeAlias = ObjectKey | StoreKey | TargetKey | EmergencyKey | ProbeKey
"""Key of the work queue: a ManagedSecret, a class (without namespace), a store, a target, an emergency or a probe."""

_WORKER_WAIT: Final = 0.1
"""Seconds that a worker waits before it leaves a job to the background; a healthy store answers within that time."""


@dataclass(frozen=True, slots=True)
class BackgroundJob(Generic[T]):
    """A job that runs in its own task."""

    name: str
    """What the job is about; the result of a job with another name is not used."""
    task: asyncio.Task[T]


async def begin(name: str, work: Coroutine[Any, Any, T], wake: Callable[[], None]) -> BackgroundJob[T]:
    """Start a job and wait up to 0.1 s for it; a job that takes longer calls `wake` when it ends.

    A worker that is cancelled meanwhile ends the job, which nothing else knows yet.
    """
    job = BackgroundJob(name, asyncio.create_task(work))
    try:
        await asyncio.wait([job.task], timeout=_WORKER_WAIT)
    except asyncio.CancelledError:
        job.task.cancel()
        await asyncio.wait([job.task])
        raise
    if not job.task.done():
        job.task.add_done_callback(lambda _: wake())
    return job


@dataclass(frozen=True, slots=True)
class _Write:
    """A write without an answer yet."""

    kept: Metadata | None
    """Metadata of the object, if the write changes neither UID nor generation."""
    held: dict[str, Callable[[], None]] = field(default_factory=dict)
    """The last event of each UID: an object may be recreated meanwhile."""

    def may_cause(self, metadata: Mapping[str, Any]) -> bool:
        """Whether an event may be of this write."""
        kept = self.kept
        return kept is None or (kept.uid, kept.generation) == (
            metadata.get("uid"),
            metadata.get("generation"),
        )


class HasStatus(Protocol):
    """An object of ours, of a class with the name of its kind, with its status as it was read."""

    @property
    def metadata(self) -> Metadata: ...

    @property
    def status(self) -> Schema: ...


def status_document(status: Schema) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)


def changed_parts(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return what a new document changes; None for what it lacks."""
    removed = {name: None for name in old if name not in new}
    return removed | {name: part for name, part in new.items() if old.get(name) != part}


class OwnWrites:
    """Writes that the API server has not answered yet, each with the events of its object."""

    def __init__(self) -> None:
        self._writes: dict[Hashable, _Write] = {}

    @contextmanager
    def of(self, key: Hashable, kept: Metadata | None = None) -> Iterator[None]:
        """Write an object, and put the answer into the cache, in this block; its events are delivered afterwards.

        `kept` is its metadata, if the write leaves the generation as it is.
        """
        write = self._writes[key] = _Write(kept)
        try:
            yield
        finally:
            self._writes.pop(key, None)
            for deliver in write.held.values():
                deliver()

    async def write_status(
        self,
        api: Api,
        key: Hashable,
        path: str,
        before: HasStatus,
        after: Schema,
        put: Callable[[Body], object],
        *,
        failpoint: str = "",
    ) -> frozenset[str] | None:
        """Write the status of an object to `path`, and `put` the answer into the cache.

        Return the fields that the API server dropped, because its CRD lacks them; None if no field has changed. The
        status is replaced (PUT): the API server keeps all other parts of the object, so the body has only its
        identity, and no patch is computed. The resourceVersion is the fence: no status is written about a spec that
        has changed since it was read. Tests can kill the process before and after the write, at `failpoint`.

        Raises:
            Conflict: The object has changed since it was read, or is another one of the same name.
            NotFound: The object is deleted.
        """
        status, metadata = status_document(after), before.metadata
        changes = changed_parts(status_document(before.status), status)
        if not changes:
            return None
        identity = {"name": metadata.name, "resourceVersion": metadata.resource_version, "uid": metadata.uid}
        if metadata.namespace:
            identity["namespace"] = metadata.namespace
        body = {
            "apiVersion": API_VERSION,
            "kind": type(before).__name__,
            "metadata": identity,
            "status": status,
        }
        with self.of(key, metadata):
            failpoints.reached("before", failpoint)
            written = await api.replace(path, body)
            failpoints.reached("after", failpoint)
            put(written)
        kept = written.get("status", {})
        return frozenset(name for name, part in changes.items() if part is not None and name not in kept)

    def hold(self, key: Hashable, body: dict[str, Any], deliver: Callable[[], None]) -> bool:
        """Whether an event waits for an answer; `deliver` is called then, unless a later event replaces it."""
        write = self._writes.get(key)
        if write is None or not write.may_cause(body["metadata"]):
            return False
        write.held[body["metadata"].get("uid", "")] = deliver
        return True


@dataclass(slots=True)
class Context:
    """Created once, when the process starts."""

    api: Api
    events: Events
    now: Callable[[], datetime]
    """Clock of the API server."""
    queue: WorkQueue[Key] = field(default_factory=WorkQueue)
    crds_doubted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to have the installed CRDs compared with this version again."""
    doubt_cache: Callable[[], None] = lambda: None
    """Have all objects listed again: a watch may be silent since a restore of etcd."""
    dropped_status_fields: tuple[str, ...] = ()
    """Fields of a ManagedSecret's status that the installed CRD lacks and the API server drops."""
    cache: InformerCache = field(default_factory=InformerCache)
    own_writes: OwnWrites = field(default_factory=OwnWrites)
    readership: Callable[[str, Collection[str], datetime], Readership] | None = None
    """Return who has read the named Secrets since a time; None without audit events."""
    reach: Reach = field(default_factory=Reach)
    """Addresses that stores and databases may use."""
    source_kind: SourceKind = SourceKind.WATCH
    """Whether the operator watches or polls Secrets; decides what absence from the cache means."""
    covers: Callable[[str], bool] = lambda _: True
    """Whether the Secrets of a namespace are known; without the right to list them, they are not."""
    stores: Stores = field(init=False)
    databases: Databases = field(init=False)
    pods: PodLists = field(init=False)
    evidence: ClusterEvidence = field(default_factory=ClusterEvidence)
    contacts: Mapping[str, str] = field(default_factory=dict)
    """Contacts of the organisation by role, for emergencies."""
    since: datetime | None = None
    """When this process became the leader."""

    def __post_init__(self) -> None:
        self.stores = Stores(self.api, self.cache, self.reach)
        self.databases = Databases(self.api, self.cache, self.reach)
        self.pods = PodLists(self.api, loop_time)

    def drop_managed(self, key: ObjectKey) -> None:
        """Drop a ManagedSecret that is gone, and wake those that wait for its database account."""
        for rival in self.cache.drop_managed(key):
            self.queue.add(rival)
