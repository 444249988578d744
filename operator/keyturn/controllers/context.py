"""What the operator works with: the API server, what the watches told, the generators, the clock."""

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
    """A publication of ours, and the resource version that it got."""

    number: int
    version: int


@dataclass(frozen=True, slots=True)
class Writing:
    """A write of one of our Secrets whose answer is awaited."""

    name: str
    observed: set[str] = field(default_factory=set)
    """The versions that the watch tells of meanwhile: it mostly overtakes the answer."""


class Parsed(NamedTuple):
    """A ManagedSecret as it was last read out of the mirror, and what is wrong with its spec."""

    version: int
    managed: ManagedSecret
    trouble: Stalled | None


class Resolved(NamedTuple):
    """What a spec asks for, as long as it and its class are the same."""

    of: tuple[str, int]
    """The UID and the generation of the ManagedSecret."""
    secret_class: SecretClass | None
    desired: Desired


@dataclass(slots=True)
class ObjectMemory:
    """What was read of one ManagedSecret's Secrets: facts for good, values and what is large while a pass lasts."""

    state_facts: StateFacts | None = None
    checked: tuple[str | int, ...] | None = None
    """The versions of state and target, and the generation, that were found to agree."""
    foreign: set[str] = field(default_factory=set)
    """Names of Secrets that the watch of ours does not show and that exist all the same."""
    older: Mapping[str, Strength | None] | None = None
    """How strong the values are that a recipe of today could not have made."""
    lengths: Mapping[str, int] | None = None
    """How long the values are that were read from stores."""
    weak: Mapping[str, str] | None = None
    """The keys whose values nobody's recipe has made and that are certainly weak, each with the name of its item."""
    twins: Mapping[str, frozenset[ObjectKey]] | None = None
    """The values that another environment has as well, with who has them there, as far as the log was told."""
    first: int | None = None
    """The revision that was current when this process read the state for the first time."""
    published: Published | None = None
    attempts: int = 0
    denials: dict[WorkloadKey, Denial] = field(default_factory=dict)
    """Whose restart the API server refuses."""
    ended: dict[WorkloadKey, tuple[int, datetime | None]] = field(default_factory=dict)
    """Whose pods with earlier values have ended, each with the revision and its restart."""
    held_up: dict[WorkloadKey, datetime] = field(default_factory=dict)
    """Whose pods with earlier values held the places of new ones, each with when that was seen last."""
    fight: DriftHistory | None = None
    """How often the Secret was put back lately."""
    told: str | None = None
    """What keeps it from going on, as people were told last."""
    state: State | None = None
    state_version: str | None = None
    """The version of the state Secret that `state` was read from, or written as."""
    target: Body | None = None
    parsed: Parsed | None = None
    resolved: Resolved | None = None
    writing: Writing | None = None
    outside: BackgroundWork = field(default_factory=BackgroundWork)
    emergencies: Mapping[str, Affected] | None = None
    """How far it is with each emergency that concerns it, by the UID of that."""

    def forget_values(self) -> None:
        self.state = self.target = self.parsed = self.resolved = None
        self.outside.forget_values()


@dataclass(slots=True)
class Alarm:
    """What this process has done for one emergency."""

    looked: datetime | None = None
    reported: datetime | None = None
    report: str | None = None
    """The document that its ConfigMap holds."""
    stages: frozenset[str] = frozenset()
    """What was open when the document was written."""
    trouble: Stalled | None = None
    """What keeps the document from being written."""
    is_unfinished: bool = False
    """The status was written, and the document was not looked at since."""


@dataclass(slots=True)
class Context:
    """Opened once, when the process starts."""

    api: Api
    events: Events
    now: Callable[[], datetime]
    """By the API server's clock."""
    wake: Callable[[ObjectKey], None] = lambda _: None
    """Has another object looked at."""
    alert: Callable[[EmergencyKey], None] = lambda _: None
    """Has an emergency looked at."""
    doubt_crds: Callable[[], None] = lambda: None
    """Has the CRDs compared with this version again."""
    lost: tuple[str, ...] = ()
    """The fields of a ManagedSecret's status that the installed CRD does not have."""
    cache: InformerCache = field(default_factory=InformerCache)
    tags: ValueIndex = field(default_factory=ValueIndex)
    readership: Callable[[str, Collection[str], datetime], Readership] | None = None
    """Tells who has read a ManagedSecret's Secret since a time; None where no audit events are taken."""
    reach: Reach = field(default_factory=Reach)
    """What outside stores may reach."""
    sight: Sight = Sight.WATCH
    """Whether a Secret of ours that nothing has told of is not there, or was not looked for yet."""
    stores: Stores = field(init=False)
    large: LargeOnes = field(init=False)
    pods: PodLooks = field(init=False)
    proofs: ClusterEvidence = field(default_factory=ClusterEvidence)
    since: datetime | None = None
    """When this process began to act."""
    memos: dict[ObjectKey, ObjectMemory] = field(default_factory=dict)
    alarms: dict[EmergencyKey, Alarm] = field(default_factory=dict)

    _rolling: WeakValueDictionary[WorkloadKey, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        self.stores = Stores(self.api, self.cache, self.reach)
        self.pods = PodLooks(self.api, self.now)
        self.large = LargeOnes(lambda key: self.wake(key))  # noqa: PLW0108  # which is set later

    def secret_seen(self, meta: SecretMeta) -> ObjectKey | None:
        """Take in what the watch tells of a Secret; return whom that concerns, if it is news.

        Of a Secret that we are writing it is news only if the answer says that this was somebody else.
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
        """Return the lock of a workload's marker."""
        lock = self._rolling.get(workload)
        if lock is None:
            lock = self._rolling[workload] = asyncio.Lock()
        return lock

    def forget(self, key: ObjectKey) -> None:
        """Drop all that is known of an object that is gone, and end what goes on for it."""
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
