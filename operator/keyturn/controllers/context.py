"""Shared dependencies of all controllers: API client, event recorder, cache, stores, databases, clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.checklist.monitor import ClusterEvidence
from keyturn.databases import Databases
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.namespace_pods import JobOwners, NamespacePods
from keyturn.kube.pods import PodReader
from keyturn.kube.secret_source import SourceKind
from keyturn.runtime.clock import loop_time
from keyturn.runtime.reach import Reach
from keyturn.stores import Stores

from .own_writes import OwnWrites

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from keyturn.core.emergency.readers import Readership
    from keyturn.core.keys import EmergencyKey, ObjectKey
    from keyturn.kube.client import Api
    from keyturn.kube.events import Events


@dataclass(slots=True)
class Context:
    """Created once, when the process starts."""

    api: Api
    events: Events
    now: Callable[[], datetime]
    """Clock of the API server."""
    wake: Callable[[ObjectKey], None] = lambda _: None
    """Add a ManagedSecret to the work queue."""
    probe_at: Callable[[ObjectKey, datetime], None] = lambda _key, _due: None
    """Add the probe of a ManagedSecret to the work queue, due at a time."""
    alert: Callable[[EmergencyKey], None] = lambda _: None
    """Add an EmergencyRotation to the work queue."""
    doubt_crds: Callable[[], None] = lambda: None
    """Have the installed CRDs compared with this version again."""
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
    pods: PodReader = field(init=False)
    namespace_pods: NamespacePods = field(init=False)
    job_owners: JobOwners = field(init=False)
    evidence: ClusterEvidence = field(default_factory=ClusterEvidence)
    contacts: Mapping[str, str] = field(default_factory=dict)
    """Contacts of the organisation by role, for emergencies."""
    since: datetime | None = None
    """When this process became the leader."""

    def __post_init__(self) -> None:
        self.stores = Stores(self.api, self.cache, self.reach)
        self.databases = Databases(self.api, self.cache, self.reach)
        self.pods = PodReader(self.api, self.now)
        self.namespace_pods = NamespacePods(self.api, loop_time)
        self.job_owners = JobOwners(self.api)

    def drop_managed(self, key: ObjectKey) -> None:
        """Drop a ManagedSecret that is gone, and wake those that wait for its database account."""
        for rival in self.cache.drop_managed(key):
            self.wake(rival)
