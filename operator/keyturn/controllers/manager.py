"""One process: everything that runs in it, in which order it starts, and in which order it ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog

from keyturn import generators
from keyturn.checklist.monitor import Inspection
from keyturn.core.keys import EmergencyKey, StoreKey
from keyturn.endpoints import server as web
from keyturn.endpoints.audit_server import Witness
from keyturn.endpoints.dashboard_server import DashboardServer
from keyturn.endpoints.metrics_server import Meter
from keyturn.installation.checks.election import LEASE
from keyturn.installation.checks.rights import Feature, Place
from keyturn.kube import config
from keyturn.kube.client import Api
from keyturn.kube.events import Events
from keyturn.kube.leader_election import Elector
from keyturn.kube.secret_sight import Sight, sight_of
from keyturn.runtime import build, metrics
from keyturn.runtime import event_loop_stalls as holdups
from keyturn.runtime import threadpools as threads
from keyturn.runtime.scheduling import favour_event_loop
from keyturn.stores import Reach, StoreEvents, providers

from .cache_sync import Upkeep
from .context import Context
from .emergency.reconcile import reconcile_emergency
from .event_handlers import Key, Watches
from .kopf_source import kopf_registry
from .kopfshell import kopf
from .managedsecret.reconcile import reconcile
from .object_metrics import facts
from .secretclass import reconcile_class
from .secretstore import reconcile_store
from .startup_checks import Startup
from .watch_liveness import WatchLiveness, is_stuck
from .workqueue import Priority, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from keyturn.endpoints.audit import Settings
    from keyturn.endpoints.dashboard import Settings as UiSettings
    from keyturn.kube.config import Connection

__all__ = ["Options", "run"]

_GRACE = timedelta(seconds=5)
_FIRST_LOOK = 5.0
"""Seconds that work waits for the first look at the cluster: what it finds goes into statuses."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator is run."""

    namespaces: Collection[str] | None
    """The namespaces that are served; None for all."""
    lease_namespace: str | None = None
    """The operator's own namespace; None where that is to be found out."""
    exposure: web.Exposure = field(default_factory=web.Exposure)
    workers: int = 16
    reach: Reach = field(default_factory=Reach)
    """What outside stores may reach."""
    audit: Settings | None = None
    """How audit events are taken; None for not at all."""
    ui: UiSettings | None = None
    """How the page for people is served; None for not at all."""
    sight: Sight = Sight.WATCH
    """How it is seen that a Secret has changed."""
    proves_encryption: bool = False
    """Whether the metrics of the API server are read, to see that it encrypts Secrets."""

    @property
    def place(self) -> Place:
        """Say where this operator is, whom it serves, and with what."""
        chosen = {
            Feature.UI: self.ui,
            Feature.AUDIT: self.audit,
            Feature.METRICS_AUTH: self.exposure.asks_login,
            Feature.ENCRYPTION_PROOF: self.proves_encryption,
        }
        return Place(
            self.lease_namespace or config.own_namespace(),
            None if self.namespaces is None else tuple(self.namespaces),
            frozenset(feature for feature, is_chosen in chosen.items() if is_chosen),
            self.sight,
        )


class Manager:
    """The parts of one operator process, and how they hang together."""

    def __init__(
        self, options: Options, connection: Connection, apis: tuple[Api, Api], identity: str
    ) -> None:
        """Take two clients on one session: one for the lease, and one that writes only while we lead."""
        for_lease, api = apis
        self._options, self._connection, self._identity = options, connection, identity
        place = options.place
        self.elector = Elector(for_lease, place.own, LEASE, identity)
        api.fence = self.elector.deadline
        for_lease.on_response = api.on_response = metrics.count_request
        self.events = Events(api, identity, is_busy=lambda: self.queue.depth > options.workers)
        reach = replace(options.reach, namespace=place.own, our_audiences=connection.audiences)
        metrics.CLOCK_AHEAD.set_function(api.clock.seconds_ahead)
        context = self.context = Context(api, self.events, api.clock.now, reach=reach, sight=options.sight)
        self.queue: WorkQueue[Key] = WorkQueue(api.clock.now, owner=attrgetter("namespace"))
        self.context.wake = self.context.alert = self.queue.add
        self.context.stores.news = StoreEvents(turned=self.queue.add, recovered=self._store_recovered)
        self.pulse = WatchLiveness()
        self.watches = Watches(self.context, self.queue, options.namespaces)
        told = self.watches.secret, self.watches.secret_gone
        self.secrets = sight_of(options.sight, api, options.namespaces, self.context.cache, told)
        self.inspection = Inspection(
            for_lease,
            place.own,
            self.context.proofs,
            api.clock.now,
            proves_encryption=options.proves_encryption,
        )
        cache, now, proofs = context.cache, context.now, context.proofs
        self.witness = Witness(options.audit, for_lease, place.own, cache, now, proofs)
        context.readership = self.witness.readership
        self.meter = Meter(options.exposure, api, connection.audiences)
        self.window = DashboardServer(options.ui, api, cache, now, self.elector, self._unready)
        metrics.QUEUE_DEPTH.set_function(lambda: self.queue.depth)
        self.upkeep = Upkeep(self.context, self.watches, self.secrets, self.pulse)
        self.startup = Startup(api, place, self._fields_lost)
        self.context.doubt_crds = self.startup.doubt
        self._stop_kopf = asyncio.Event()
        self._kopf_is_ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set or a part fails; each part's end is the end of all."""
        site = web.Site(
            partial(facts, self.context.cache, self.context.proofs), self._unhealthy, self._unready
        )
        async with (
            self.meter.listening(site) as ports,
            self.witness.listening() as audit_port,
            self.window.listening() as ui_port,
            contextlib.aclosing(self.context.stores),
            asyncio.TaskGroup() as group,
        ):
            _log.info("started", version=build.version(), **ports, **audit_port, **ui_port)
            work = group.create_task(self._work())
            parts = [
                group.create_task(part)
                for part in (
                    self.elector.run(),
                    self.secrets.run(),
                    self.events.run(),
                    self.context.stores.run(),
                    self.upkeep.run(),
                    self.startup.run(),
                    self.witness.watch(self.upkeep.is_primed),
                    self.witness.keep(),
                    self.window.keep(),
                    self.meter.keep(),
                    self.inspection.run(),
                )
            ]
            # kopf takes every task that is younger than it for one of its own and ends it with itself.
            kopf_task = group.create_task(self._kopf(stop))
            await stop.wait()
            _log.info("stopping")
            await self._stop(work)
            await self._end_kopf(kopf_task)
            for part in parts:
                part.cancel()

    async def _work(self) -> None:
        await self.upkeep.is_primed.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK):
                await self.startup.looked.wait()
        if self._options.audit:
            await self.secrets.fresh()  # events come to standbys, too, and tell names of Secrets
        await self.elector.leading()
        await self.secrets.fresh()
        metrics.LEADER.set(1)
        self.context.since = self.context.now()
        _log.info("leading")
        await self.queue.run(self._reconcile, workers=self._options.workers, grace=_GRACE)

    async def _reconcile(self, key: Key) -> datetime | None:
        """Bring one object to what it says; all kinds share the queue."""
        if isinstance(key, StoreKey):
            await reconcile_store(key, self.context)
        elif isinstance(key, EmergencyKey):
            return await reconcile_emergency(key, self.context)
        elif key.namespace:
            return await reconcile(key, self.context)
        else:
            await reconcile_class(key.name, self.context)
        return None

    async def _stop(self, work: asyncio.Task[None]) -> None:
        """End what writes, tell what is left to tell, and only then let another one lead."""
        work.cancel()
        await asyncio.wait([work])
        await self.context.stores.close()
        await self.events.flush(1.0)
        await self.elector.release()
        metrics.LEADER.set(0)

    async def _kopf(self, stop: asyncio.Event) -> None:
        """Let kopf watch, once there is something to watch: it looks only once which kinds there are."""
        await self.upkeep.is_primed.wait()
        signals = asyncio.create_task(self._take_signals_back(stop))
        namespaces = self._options.namespaces
        try:
            await kopf.operator(
                registry=kopf_registry(self.watches, self._connection, self.pulse),
                standalone=True,
                clusterwide=namespaces is None,
                namespaces=list(namespaces or ()),
                # Without it kopf asks for the user's name, and no base image has one for 65532.
                identity=self._identity,  # type: ignore[arg-type]  # kopf's type for it, a str, is not public
                stop_flag=self._stop_kopf,
                ready_flag=self._kopf_is_ready,
            )
        finally:
            signals.cancel()

    async def _take_signals_back(self, stop: asyncio.Event) -> None:
        """Answer them ourselves: kopf puts itself in their way, and would end before what it feeds."""
        await self._kopf_is_ready.wait()
        _on_signals(stop)

    async def _end_kopf(self, task: asyncio.Task[None]) -> None:
        if not self._kopf_is_ready.is_set():
            task.cancel()
        self._stop_kopf.set()
        await asyncio.wait([task])

    def _store_recovered(self, key: StoreKey) -> None:
        for user in self.context.cache.stores.users_of(key):
            self.context.memory(user).outside.try_again(self.context.now())
            self.queue.add(user, Priority.BACKLOG)  # a thousand of them make a rush

    def _unhealthy(self) -> list[str]:
        stuck = ["watch stuck: secrets"] if is_stuck(self.secrets.last_alive) else []
        return stuck + self.pulse.problems()

    def _unready(self) -> list[str]:
        return [*self.upkeep.problems(), *(self.elector.problems() or self.startup.problems())]

    def _fields_lost(self, fields: tuple[str, ...]) -> None:
        """Take in what the installed CRD drops of statuses, and have each say so, or write what it lacks."""
        if fields == self.context.lost:
            return
        self.context.lost = fields
        for key in self.context.cache.managed_keys():
            self.queue.add(key, Priority.BACKLOG)


async def run(options: Options) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        NotConfigured: No cluster is configured.
        LeadershipLost: Another replica leads now; the process is to be started anew.
    """
    stop = asyncio.Event()
    _on_signals(stop)
    favour_event_loop()
    await threads.for_us(_load)
    connection = await config.load()
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    async with config.session(connection) as session:
        apis = Api(session, connection.server, timeout=5.0), Api(session, connection.server)
        with holdups.watched(holdups.told):
            await Manager(options, connection, apis, identity).run(stop)
    _log.info("stopped")


def _load() -> None:
    """Import what the first object would have imported, while everything else waits."""
    generators.discover()
    providers.discover()


def _on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
