"""Manager of one process: its parts, and the order in which they start and end."""

import asyncio
import contextlib
import signal
import socket
import uuid
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter

import structlog

from keyturn import generators
from keyturn.checklist.monitor import EncryptionMonitor
from keyturn.core.keys import EmergencyKey, ProbeKey, StoreKey, TargetKey
from keyturn.core.observation.external import HealthEvents
from keyturn.endpoints import server
from keyturn.endpoints.audit import Audit, AuditSettings
from keyturn.endpoints.server import MetricsServer
from keyturn.installation.checks.rights import Feature, Place
from keyturn.kube import config
from keyturn.kube.client import Api
from keyturn.kube.config import Connection
from keyturn.kube.events import Events
from keyturn.kube.leader_election import LEASE, Elector
from keyturn.kube.secret_informer import SecretInformer, SecretPoller, SourceKind
from keyturn.kube.session import SessionTransport, open_session
from keyturn.runtime import build, event_loop_stalls, metrics, threadpools
from keyturn.runtime.reach import Reach
from keyturn.runtime.threadpools import favour_event_loop
from keyturn.stores import providers

from .cache_sync import CacheSync, WatchLiveness, is_stuck
from .cluster_checks import ClusterChecks
from .context import Context, Key
from .emergency.reconcile import reconcile_emergency
from .event_handlers import EventHandlers
from .external_health import reconcile_store, reconcile_target
from .kopf_source import kopf_registry, run_kopf
from .managedsecret.account.probe import begin_probe
from .managedsecret.memory import Memory
from .managedsecret.reconcile import reconcile
from .managedsecret.restart_budget import NO_LIMITS, RestartLimits
from .object_metrics import facts
from .secretclass import reconcile_class
from .start import StartReads
from .workqueue import Priority, WorkQueue

_DRAIN_TIMEOUT = timedelta(seconds=5)
_KOPF_TIMEOUT = 10.0
"""Seconds in which kopf ends before it is cancelled: a watch that breaks meanwhile would delay it for ever."""
_FIRST_CHECK_TIMEOUT = 5.0
"""Seconds that reconciles wait for the first check of the cluster, whose findings are part of statuses."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the operator."""

    namespaces: Collection[str] | None
    """The namespaces to watch; None for all."""
    lease_namespace: str | None = None
    """The operator's own namespace; None to detect it."""
    exposure: server.Exposure = field(default_factory=server.Exposure)
    workers: int = 32
    restarts: RestartLimits = NO_LIMITS
    """Limits of restarts in the whole cluster."""
    reach: Reach = field(default_factory=Reach)
    """Addresses that stores and databases may use."""
    audit: AuditSettings | None = None
    """Settings of the audit webhook; None to run without it."""
    source_kind: SourceKind = SourceKind.WATCH
    """How changes of Secrets are observed: by a watch or by polling."""
    proves_encryption: bool = False
    """Whether to read the API server's metrics to verify encryption at rest."""
    contacts: Mapping[str, str] = field(default_factory=dict)
    """Contacts of the organisation by role, for emergencies."""

    @property
    def place(self) -> Place:
        """Return namespace, watched namespaces and features, which decide about permissions."""
        chosen = {
            Feature.AUDIT: self.audit,
            Feature.METRICS_AUTH: self.exposure.asks_login,
            Feature.ENCRYPTION_PROOF: self.proves_encryption,
        }
        return Place(
            self.lease_namespace or config.own_namespace(),
            None if self.namespaces is None else tuple(self.namespaces),
            frozenset(feature for feature, is_chosen in chosen.items() if is_chosen),
            self.source_kind,
        )


class Manager:
    """Builds and runs the parts of one operator process."""

    def __init__(
        self, options: Options, connection: Connection, apis: tuple[Api, Api], identity: str
    ) -> None:
        """Use two clients on one session: one for the lease, one that writes only while this process leads."""
        for_lease, api = apis
        self._options, self._connection, self._identity = options, connection, identity
        place = options.place
        self.election = Elector(for_lease, place.own, LEASE, identity, may_take=self._has_cache)
        api.fence, api.clock = self.election.deadline, for_lease.clock  # answers to the Lease tell the time
        for_lease.on_response = api.on_response = metrics.count_request
        self.events = Events(api, identity, is_busy=lambda: self.queue.depth > options.workers)
        metrics.CLOCK_AHEAD.set_function(api.clock.seconds_ahead)
        reach = replace(options.reach, namespace=place.own, our_audiences=connection.audiences)
        self.queue: WorkQueue[Key] = WorkQueue(api.clock.now, owner=attrgetter("namespace"))
        context = self.context = Context(
            api,
            self.events,
            api.clock.now,
            self.queue,
            reach=reach,
            source_kind=options.source_kind,
            contacts=options.contacts,
        )
        self.memory = Memory(context, options.restarts)
        turned = self.queue.add
        context.stores.health_events = HealthEvents(turned=turned, recovered=self._store_recovered)
        context.databases.health_events = HealthEvents(turned=turned, recovered=self._target_recovered)
        self.liveness = WatchLiveness()
        self.handlers = EventHandlers(context, self.memory, options.namespaces)
        on_secret = self.handlers.put_secret, self.handlers.drop_secret
        self.secrets: SecretInformer | SecretPoller = (
            SecretPoller(api, context.cache, *on_secret)
            if options.source_kind is SourceKind.BY_NAME
            else SecretInformer(api, options.namespaces, *on_secret, context.cache.labelled_secrets)
        )
        context.covers = self.secrets.covers
        self.encryption = EncryptionMonitor(for_lease, context.evidence, is_enabled=options.proves_encryption)
        self.audit = self._audit(for_lease, place.own)
        context.readership = self.audit.readership if self.audit else None
        self.metrics_server = MetricsServer(options.exposure, api, connection.audiences)
        metrics.QUEUE_DEPTH.set_function(lambda: self.queue.depth)
        self.cache_sync = CacheSync(self.context, self.handlers, self.secrets, self.liveness)
        self.cluster_checks = ClusterChecks(api, place, self._set_lost_fields, context.crds_doubted)
        context.doubt_cache = self.cache_sync.doubt
        self._stop_kopf = asyncio.Event()
        self._kopf_is_ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set or a part fails; the end of one part ends all."""
        samples = partial(facts, self.context.cache, self.context.evidence, self.context.now)
        site = server.Site(samples, self._unhealthy, self._unready)
        async with (
            self.metrics_server.listening(site) as ports,
            self._audit_listening() as audit_port,
            contextlib.aclosing(self.context.stores),
            contextlib.aclosing(self.context.databases),
            asyncio.TaskGroup() as group,
        ):
            _log.info("started", version=build.version(), **ports, **audit_port)
            work = group.create_task(self._work())
            parts = [
                group.create_task(part)
                for part in (
                    self.election.run(),
                    self.secrets.run(),
                    self.events.run(),
                    self.context.stores.run(),
                    self.cache_sync.run(),
                    self.cluster_checks.run(),
                    self._take_audit_events(),
                    self.metrics_server.keep(),
                    self.encryption.run(),
                )
            ]
            # kopf cancels every task that is younger than itself, so it starts last.
            kopf_task = group.create_task(self._kopf(stop))
            await stop.wait()
            _log.info("stopping")
            await self._stop(work)
            await self._end_kopf(kopf_task)
            for part in parts:
                part.cancel()

    def _audit(self, api: Api, namespace: str) -> Audit | None:
        """Load the audit webhook, if it is enabled."""
        if self._options.audit is None:
            return None
        from keyturn.endpoints.audit import Audit  # noqa: PLC0415  # on first use: it is off by default

        context = self.context
        return Audit(self._options.audit, api, namespace, context.cache, context.now, context.evidence)

    def _audit_listening(self) -> AbstractAsyncContextManager[dict[str, int]]:
        return self.audit.listening() if self.audit else contextlib.nullcontext({})

    async def _take_audit_events(self) -> None:
        if self.audit is None:
            return
        await self.cache_sync.is_primed.wait()  # events name Secrets
        async with asyncio.TaskGroup() as group:
            group.create_task(self.audit.run())
            group.create_task(self.audit.tls.keep())

    async def _work(self) -> None:
        await self.cache_sync.is_primed.wait()
        await self.election.attempt()  # not as late as the next period
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_CHECK_TIMEOUT):
                await self.cluster_checks.was_checked.wait()
        if self._options.audit:
            await self.secrets.fresh()  # standbys receive audit events too, which name Secrets
        await self.election.leading()
        reads = await self._begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(reads.run())
            await self.queue.run(self._reconcile, workers=self._options.workers, grace=_DRAIN_TIMEOUT)

    async def _begin(self) -> StartReads:
        """Begin as the leader; return the reads of all objects."""
        await self.secrets.fresh()
        await self.cache_sync.fresh()
        self.context.since = self.context.now()
        self.memory.budget.count_rolling(self.context.cache.rolling_workloads())
        metrics.LEADER.set(1)
        _log.info("leading")
        reads = StartReads(self.context, self.memory, self.handlers.namespaces)
        reads.hold()
        return reads

    async def _reconcile(self, key: Key) -> datetime | None:
        """Reconcile one object; all kinds share the work queue."""
        if isinstance(key, StoreKey):
            await reconcile_store(key, self.context)
        elif isinstance(key, TargetKey):
            await reconcile_target(key, self.context)
        elif isinstance(key, EmergencyKey):
            return await reconcile_emergency(key, self.memory.emergencies, self.context)
        elif isinstance(key, ProbeKey):
            return begin_probe(key.managed, self.memory.accounts, self.context)
        elif key.namespace:
            return await reconcile(key, self.memory, self.context)
        else:
            await reconcile_class(key.name, self.context)
        return None

    async def _stop(self, work: asyncio.Task[None]) -> None:
        """Stop reconciles, flush events, and release the Lease last."""
        work.cancel()
        await asyncio.wait([work])
        await self.context.stores.close()
        await self.memory.accounts.close()
        await self.context.databases.close()
        await self.events.flush(1.0)
        await self.election.release()
        metrics.LEADER.set(0)

    async def _kopf(self, stop: asyncio.Event) -> None:
        """Start kopf after the first list: it discovers kinds only once."""
        await self.cache_sync.is_primed.wait()
        namespaces = self._options.namespaces
        self.liveness.expect(self.handlers.collections)
        await run_kopf(
            partial(_on_signals, stop),
            registry=kopf_registry(self.handlers, self._connection, self.liveness),
            standalone=True,
            clusterwide=namespaces is None,
            namespaces=list(namespaces or ()),
            # Otherwise kopf looks up the user's name, which no base image has for UID 65532.
            identity=self._identity,
            stop_flag=self._stop_kopf,
            ready_flag=self._kopf_is_ready,
        )

    async def _end_kopf(self, task: asyncio.Task[None]) -> None:
        if not self._kopf_is_ready.is_set():
            task.cancel()
        self._stop_kopf.set()
        await asyncio.wait([task], timeout=_KOPF_TIMEOUT)
        task.cancel()
        await asyncio.wait([task])

    def _store_recovered(self, key: StoreKey) -> None:
        for user in self.context.cache.stores.users_of(key):
            self.memory.stores.retry(user, self.context.now())
            self.queue.add(user, Priority.BACKLOG)  # up to a thousand at once

    def _target_recovered(self, key: TargetKey) -> None:
        for user in self.context.cache.targets.users_of(key):
            self.queue.add(user, Priority.BACKLOG)

    def _has_cache(self) -> bool:
        return self.cache_sync.is_primed.is_set()

    def _unhealthy(self) -> list[str]:
        stuck = ["watch stuck: secrets"] if is_stuck(self.secrets.last_alive) else []
        return stuck + self.liveness.problems()

    def _unready(self) -> list[str]:
        return [*self.cache_sync.problems(), *(self.election.problems() or self.cluster_checks.problems())]

    def _set_lost_fields(self, fields: tuple[str, ...]) -> None:
        """Record the status fields that the installed CRD drops, and enqueue all objects to report or write them."""
        if fields == self.context.dropped_status_fields:
            return
        self.context.dropped_status_fields = fields
        for key in self.context.cache.managed_keys():
            self.queue.add(key, Priority.BACKLOG)


async def run(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        NotConfigured: No cluster is configured.
        LeadershipLost: Another replica leads; restart the process.
    """
    stop = asyncio.Event()
    _on_signals(stop)
    favour_event_loop()
    for plugins in (generators, providers):  # before the first reconcile needs them
        await threadpools.run_own(plugins.discover)
    connection = await config.load()
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    async with open_session(connection) as session:
        transport = SessionTransport(session)
        apis = Api(transport, connection.server, timeout=5.0), Api(transport, connection.server)
        with event_loop_stalls.watch(event_loop_stalls.record):
            await Manager(options, connection, apis, identity).run(stop)
    _log.info("stopped")


def _on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
