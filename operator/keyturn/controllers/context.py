"""Shared dependencies of all controllers: API client, event recorder, cache, stores, clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

from keyturn.checklist.evidence import ClusterEvidence
from keyturn.core.keys import ObjectKey
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.pods import PodLooks
from keyturn.kube.secret_sight import Sight
from keyturn.stores import Reach, Stores

from .background import BackgroundWork, abandon
from .large_objects import LargeOnes
from .value_index import ValueIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from keyturn.api.managedsecret import ManagedSecret
    from keyturn.api.secretclass import SecretClass
    from keyturn.core.emergency.progress import Affected
    from keyturn.core.emergency.readers import Readership
    from keyturn.core.errors import Stalled
    from keyturn.core.keys import EmergencyKey, WorkloadKey
    from keyturn.core.observation.observed import Denial, DriftHistory
    from keyturn.core.policy.strength import Strength
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import State, StateFacts
    from keyturn.kube.client import Api, Body
    from keyturn.kube.events import Events
    from keyturn.kube.secret_informer import SecretMeta

__all__ = ["Alarm", "Context", "ObjectMemory", "Parsed", "Published", "Resolved", "Writing"]


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


class Parsed(NamedTuple):
    """A ManagedSecret parsed from the cache, and the error in its spec, if any."""

    version: int
    managed: ManagedSecret
    trouble: Stalled | None


class Resolved(NamedTuple):
    """A resolved spec; valid while the spec and its class are unchanged."""

    of: tuple[str, int]
    """UID and generation of the ManagedSecret, and version of its class."""
    secret_class: SecretClass | None
    desired: Desired


@dataclass(slots=True)
class ObjectMemory:
    """In-memory record of one ManagedSecret: facts last as long as the process, values as long as a pass."""

    state_facts: StateFacts | None = None
    checked: tuple[str | int, ...] | None = None
    """Versions of state and target Secret, and the generation, that were in sync."""
    foreign: set[str] = field(default_factory=set)
    """Names of existing Secrets without our label, which the informer does not see."""
    older: Mapping[str, Strength | None] | None = None
    """Items whose value the current recipe cannot have generated, with the strength of the value."""
    lengths: Mapping[str, int] | None = None
    """Lengths of the values that were read from stores, by item."""
    weak: Mapping[str, str] | None = None
    """Keys of the Secret with a weak value that no recipe has generated, each with its item."""
    twins: Mapping[str, frozenset[ObjectKey]] | None = None
    """Values that another environment has as well, each with the objects that have it, as last logged."""
    first: int | None = None
    """Revision that was current when this process read the state for the first time."""
    published: Published | None = None
    attempts: int = 0
    denials: dict[WorkloadKey, Denial] = field(default_factory=dict)
    """Workload restarts that the API server rejected since this process started."""
    ended: dict[WorkloadKey, tuple[int, datetime | None]] = field(default_factory=dict)
    """Workloads without pods of earlier revisions, each with the revision and the time of its restart marker."""
    held_up: dict[WorkloadKey, datetime] = field(default_factory=dict)
    """When pods of earlier values were last seen blocking new pods, by workload."""
    fight: DriftHistory | None = None
    """Recent drift repairs, for their back-off."""
    told: str | None = None
    """The error that was last reported in a log line and an event; None after a success."""
    state: State | None = None
    state_version: str | None = None
    """Resource version of the state Secret that `state` was read from or written as."""
    target: Body | None = None
    parsed: Parsed | None = None
    resolved: Resolved | None = None
    writing: Writing | None = None
    outside: BackgroundWork = field(default_factory=BackgroundWork)
    emergencies: Mapping[str, Affected] | None = None
    """Progress in each emergency that affects the object, by UID of the emergency."""

    def forget_values(self) -> None:
        self.state = self.target = self.parsed = self.resolved = None
        self.outside.forget_values()


@dataclass(slots=True)
class Alarm:
    """In-memory record of one EmergencyRotation."""

    looked: datetime | None = None
    reported: datetime | None = None
    report: str | None = None
    """Document that the ConfigMap holds."""
    stages: frozenset[str] = frozenset()
    """Stages that were open when the document was written."""
    trouble: Stalled | None = None
    """Why the document cannot be written."""
    is_unfinished: bool = False
    """The status was written, and the document was not compared with it since."""


@dataclass(slots=True)
class Context:
    """Created once, when the process starts."""

    api: Api
    events: Events
    now: Callable[[], datetime]
    """Clock of the API server."""
    wake: Callable[[ObjectKey], None] = lambda _: None
    """Add a ManagedSecret to the work queue."""
    alert: Callable[[EmergencyKey], None] = lambda _: None
    """Add an EmergencyRotation to the work queue."""
    doubt_crds: Callable[[], None] = lambda: None
    """Have the installed CRDs compared with this version again."""
    lost: tuple[str, ...] = ()
    """Fields of a ManagedSecret's status that the installed CRD lacks and the API server drops."""
    cache: InformerCache = field(default_factory=InformerCache)
    tags: ValueIndex = field(default_factory=ValueIndex)
    readership: Callable[[str, Collection[str], datetime], Readership] | None = None
    """Return who has read the named Secrets since a time; None without audit events."""
    reach: Reach = field(default_factory=Reach)
    """Addresses that stores may use."""
    sight: Sight = Sight.WATCH
    """Whether the operator watches or polls Secrets; decides what absence from the cache means."""
    stores: Stores = field(init=False)
    large: LargeOnes = field(init=False)
    pods: PodLooks = field(init=False)
    evidence: ClusterEvidence = field(default_factory=ClusterEvidence)
    since: datetime | None = None
    """When this process became the leader."""
    memos: dict[ObjectKey, ObjectMemory] = field(default_factory=dict)
    alarms: dict[EmergencyKey, Alarm] = field(default_factory=dict)

    _rolling: WeakValueDictionary[WorkloadKey, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        self.stores = Stores(self.api, self.cache, self.reach)
        self.pods = PodLooks(self.api, self.now)
        self.large = LargeOnes(lambda key: self.wake(key))  # noqa: PLW0108  # which is set later

    def secret_seen(self, meta: SecretMeta) -> ObjectKey | None:
        """Put a Secret into the cache, and return the owner to reconcile.

        Return None if the version is known, or while the operator is writing that Secret: the answer of the write
        then decides whether another writer has changed it.
        """
        if not self.cache.put_secret(meta):
            return None
        key = ObjectKey(meta.namespace, meta.owner)
        memory = self.memos.get(key)
        if memory and memory.writing and memory.writing.name == meta.name:
            memory.writing.observed.add(meta.resource_version)
            return None
        return key

    def rolling(self, workload: WorkloadKey) -> asyncio.Lock:
        """Return the lock for writes of a workload's restart marker."""
        lock = self._rolling.get(workload)
        if lock is None:
            lock = self._rolling[workload] = asyncio.Lock()
        return lock

    def forget(self, key: ObjectKey) -> None:
        """Drop all records of a deleted object, and cancel its background jobs."""
        if memory := self.memos.pop(key, None):
            memory.outside.end()
            abandon(key, memory.outside, self.stores)
        self.large.forget(key)

    def memory(self, key: ObjectKey) -> ObjectMemory:
        memory = self.memos.get(key)
        if memory is None:
            memory = self.memos[key] = ObjectMemory()
        return memory

    def alarm(self, key: EmergencyKey) -> Alarm:
        return self.alarms.setdefault(key, Alarm())
