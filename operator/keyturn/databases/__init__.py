"""Database servers: accounts whose credentials Keyturn opens, proves and closes.

`Databases` is the entry point: it finds the target (`kube.cache.externals`) and its settings (`settings`), and
returns the engine of the server, opened with the credentials of its administrator (`client`).

Modules
    base           the interface of an engine, with the proof that an old credential is refused
    errors         its errors, and what is not tried again for a minute after them
    engines        one package per kind of server
    settings       the settings of a target, its hosts, and the accounts that it permits
    client         engines of targets, and their condition

Imports: `stores` for the Secrets that settings refer to, `kube`, `runtime`, `core`, `api`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final
from weakref import WeakValueDictionary

from keyturn.api.account import TargetRef
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey, TargetKey
from keyturn.core.observation.external import Health, HealthEvents
from keyturn.core.reasons import ErrorReason
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.cache.externals import AnyTarget, target_for
from keyturn.kube.client import Api
from keyturn.runtime.concurrency import KeyedLimiter, Tasks
from keyturn.runtime.reach import Lookups, Reach

from .base import MOST_ADMIN_CONNECTIONS, Endpoint, Engine, Limits, TargetIdentity, Template, steps_for
from .client import API_SERVER_UNAVAILABLE, TargetCheck, TargetClient, health_of
from .errors import DatabaseError
from .settings import Hosts, check_template, check_username, is_permitted, settings_of

__all__ = ["Databases"]

_CHECKS: Final = 32
"""Checks of targets at the same time."""
_CHECKS_PER_TENANT: Final = 8
_FIRST_CHECKS: Final = 64
"""Namespaces that may exceed the total limit by one check each."""
_ASK_ADMINISTRATOR: Final = "its condition Ready has the cause; ask the administrator of the cluster"
_RETRY_AFTER: Final = timedelta(minutes=1)
"""A target that becomes ready wakes its users earlier."""


class Databases:
    """Engines of all targets, for the ManagedSecrets of any namespace.

    Belongs to one event loop; opens nothing before the first use of a target.
    """

    def __init__(self, api: Api, cache: InformerCache, reach: Reach) -> None:
        self.health_events: HealthEvents[TargetKey] = HealthEvents()
        self._api, self._cache, self._reach = api, cache, reach
        self._tasks = Tasks()
        self._clients: dict[TargetKey, TargetClient] = {}
        self._checks: dict[TargetKey, TargetCheck] = {}
        self._turns = KeyedLimiter(_CHECKS_PER_TENANT, _CHECKS, firsts=_FIRST_CHECKS)
        self._names: Lookups | None = None
        self._of_servers: WeakValueDictionary[tuple[str, Endpoint], Limits] = WeakValueDictionary()
        self._of_tenants: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def target(self, ref: TargetRef, namespace: str) -> AnyTarget:
        """Return the target that `ref` names in `namespace`.

        Raises:
            Stalled: It does not exist, is invalid, or is not permitted for this namespace.
        """
        return target_for(ref, namespace, self._cache)[1]

    def identity(self, ref: TargetRef, namespace: str) -> TargetIdentity:
        """Return what a target is now; empty if it does not exist."""
        key = TargetKey.of(ref, namespace)
        if (identity := self._cache.targets.identity(key)) is None:
            return TargetIdentity()
        client, check = self._clients.get(key), self._checks.get(key)
        versions = ",".join(sorted(client.versions)) if client else ""
        return TargetIdentity(f"{identity} {check.recoveries if check else 0}", versions)

    def taken_by(self, user: ObjectKey) -> ObjectKey | None:
        """Return the other ManagedSecret that owns the account that `user` names, or None."""

        def permits(key: TargetKey, username: str, namespace: str) -> bool:
            return is_permitted(key, username, namespace, self._cache)

        return self._cache.targets.taken_by(user, permits)

    async def engine(
        self, ref: TargetRef, namespace: str, username: str, template: Template | None = None
    ) -> Engine:
        """Return the engine of a target for an account of `namespace`, which it may create from `template`.

        Raises:
            Stalled: The target does not exist, is invalid, or permits not the namespace, account or template.
            Wait: Its Secrets cannot be read, or its settings lead to a host that it may not use.
        """
        key, target = target_for(ref, namespace, self._cache)
        check_username(key, target, username, namespace)
        if template:
            check_template(key, target, template, namespace)
        try:
            engine = await self._of(key, target).engine()
            # The computations of a login count for the namespace of its account.
            return type(engine)(replace(engine.settings, owner=namespace)) if key.is_for_all else engine
        except DatabaseError as error:
            failure = error
        if failure.code == API_SERVER_UNAVAILABLE:
            raise Wait(ErrorReason.API_SERVER_UNAVAILABLE, failure.message, _RETRY_AFTER)
        # The Secrets of a target for several namespaces are of the operator's namespace.
        why = _ASK_ADMINISTRATOR if key.is_for_all else failure.message
        raise Wait(ErrorReason.TARGET_NOT_READY, f"{key} is not ready: {why}", _RETRY_AFTER)

    def doubt(self, ref: TargetRef, namespace: str) -> None:
        """Check a target soon, with its Secrets as they are then: an operation failed."""
        key = TargetKey.of(ref, namespace)
        if client := self._clients.get(key):
            client.doubt()
        if check := self._checks.get(key):
            check.doubt()

    def health(self, key: TargetKey) -> Health | None:
        """Return the health of a target; None while it is checked, which `health_events` reports at its end."""
        try:
            target = self._cache.targets.get(key)
            client = self._of(key, target) if target else None
        except Stalled:
            return None
        except DatabaseError as error:
            return health_of(error)
        if client is None:
            return None
        check = self._checks.get(key)
        if check is None:
            started = target.status.server_started if target else None
            check = self._checks[key] = TargetCheck(
                key, client, self._tasks, lambda: self.health_events, self._turns, started
            )
        check.look()
        return check.health

    def forget(self, key: TargetKey) -> None:
        """Close a deleted target."""
        if check := self._checks.pop(key, None):
            check.close()
        if client := self._clients.pop(key, None):
            self._tasks.start(client.close())

    async def aclose(self) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel all checks, and close all engines."""
        for check in self._checks.values():
            check.close()
        self._checks.clear()
        while self._clients:
            _, client = self._clients.popitem()
            await client.close()
        await self._tasks.end()

    def _of(self, key: TargetKey, target: AnyTarget) -> TargetClient:
        identity = f"{target.metadata.uid}-{target.metadata.generation}"
        there = self._clients.get(key)
        if there is not None and there.identity == identity:
            return there
        self.forget(key)
        if self._names is None:
            self._names = Lookups()
        hosts = Hosts(key.namespace, self._names, self._reach.allowed, self._reach.inside)
        settings = settings_of(key, target, hosts)
        limits = self._limits(key, settings.endpoint, settings.max_connections)
        namespace = key.namespace or self._reach.namespace
        client = TargetClient(identity, settings, hosts, namespace, self._api, limits)
        self._clients[key] = client
        return client

    def _limits(self, key: TargetKey, endpoint: Endpoint, most: int | None) -> Limits:
        """Return the limits of a server, which all targets of one namespace share; the first one's number counts.

        They are kept as long as an operation uses them, even if its target changes meanwhile. All servers of a
        namespace share one more limit; those of ClusterDatabaseTargets do not.
        """
        at = key.namespace, endpoint
        if (limits := self._of_servers.get(at)) is None:
            connections = most or MOST_ADMIN_CONNECTIONS
            limits = Limits(asyncio.Semaphore(connections), steps=steps_for(connections))
            if not key.is_for_all:
                tenant = self._of_tenants.setdefault(key.namespace, limits.tenant)
                limits = replace(limits, tenant=tenant)
            self._of_servers[at] = limits
        return limits
