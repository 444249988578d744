"""Reconcilers of stores and database targets: write the health of what an object describes to its status."""

from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar

import structlog

from keyturn.api.base import Schema
from keyturn.api.databasetarget import DatabaseTargetStatus
from keyturn.api.secretstore import SecretStoreStatus
from keyturn.core.errors import Stalled
from keyturn.core.keys import StoreKey, TargetKey
from keyturn.core.observation.external import Health
from keyturn.core.reasons import EventReason, StoreReason
from keyturn.core.status.conditions import stamp_all
from keyturn.core.status.summary import ConditionVerdict, changes_readiness, readiness_of
from keyturn.kube import errors, paths
from keyturn.kube.cache.externals import AnyStore, AnyTarget, ExternalCache, Key, Model
from keyturn.kube.events import EventType
from keyturn.stores.settings import shared_keys

from .context import Context

_Key_contra = TypeVar("_Key_contra", contravariant=True)

_log = structlog.get_logger()


class _Words(NamedTuple):
    """How the log names a change of health."""

    field: str
    ready: str
    unready: str


_STORE: Final = _Words("store", "store ready", "store not ready")
_TARGET: Final = _Words("target", "database target ready", "database target not ready")


class _Clients(Protocol[_Key_contra]):
    """The clients of all stores, or of all database servers."""

    def health(self, key: _Key_contra) -> Health | None: ...

    def forget(self, key: _Key_contra) -> None: ...


async def reconcile_store(key: StoreKey, context: Context) -> None:
    """Write the health of a store to its status, if it has changed."""
    checked = _checked(key, context.cache.stores, context.stores)
    if checked is not None:
        store, health = checked
        status = store_status(store, health, context.now(), shared_keys(key, store))
        await _write(key, store, health, status, context)


async def reconcile_target(key: TargetKey, context: Context) -> None:
    """Write the health of a database target to its status, if it has changed."""
    checked = _checked(key, context.cache.targets, context.databases)
    if checked is not None:
        target, health = checked
        await _write(key, target, health, target_status(target, health, context.now()), context)


def store_status(
    store: AnyStore, health: Health, now: datetime, shared: str | None = None
) -> SecretStoreStatus:
    """Return the status for a health: ready, stalled, and whether namespaces share its keys."""
    verdicts = readiness_of(health)
    if shared:
        verdicts.append(("KeysShared", ConditionVerdict("True", StoreReason.NO_NAMESPACE_IN_PREFIX, shared)))
    return SecretStoreStatus(
        observed_generation=store.metadata.generation,
        provider=store.spec.provider.kind,
        conditions=stamp_all(verdicts, store.status.conditions, now, store.metadata.generation),
    )


def target_status(target: AnyTarget, health: Health, now: datetime) -> DatabaseTargetStatus:
    """Return the status for a health; what a server said that does not answer now stays."""
    return DatabaseTargetStatus(
        observed_generation=target.metadata.generation,
        engine=target.spec.server[0] if target.spec.server else None,
        version=health.version or target.status.version,
        server_started=health.started or target.status.server_started,
        conditions=stamp_all(readiness_of(health), target.status.conditions, now, target.metadata.generation),
    )


def _checked(
    key: Key, known: ExternalCache[Key, Model], clients: _Clients[Key]
) -> tuple[Model, Health] | None:
    """Return an object with its health; None if there is nothing to write."""
    try:
        found = known.get(key)
    except Stalled:
        found = None  # an object that cannot be parsed gets no status; its users report the error
    if found is None:
        clients.forget(key)
        return None
    health = clients.health(key)
    return (found, health) if health else None  # a check in progress enqueues the object at its end


async def _write(
    key: StoreKey | TargetKey, found: AnyStore | AnyTarget, health: Health, status: Schema, context: Context
) -> None:
    path = f"{paths.external(key.kind, key.namespace, key.name)}/status"
    try:
        put = partial(context.cache.put_external, key)
        written = await context.own_writes.write_status(context.api, key, path, found, status, put)
    except (errors.Conflict, errors.NotFound):
        return  # a conflict: the watch brings the newer object
    if written is not None and changes_readiness(health, found.status.conditions):
        _tell(key, found, health, context)


def _tell(key: StoreKey | TargetKey, found: AnyStore | AnyTarget, health: Health, context: Context) -> None:
    words = _STORE if isinstance(key, StoreKey) else _TARGET
    if health.is_ready:
        _log.info(words.ready, **{words.field: str(key)})
        return
    _log.warning(words.unready, **{words.field: str(key)}, reason=health.reason, message=health.message)
    if key.is_for_all and not context.cache.sees_namespaces:
        return  # Events of cluster-wide objects need a namespace in which this operator has no permission.
    note = f"{health.reason}: {health.message}"
    if isinstance(key, StoreKey):
        context.events.record(found, EventReason.PROVIDER_ERROR, note, EventType.WARNING)
    else:
        context.events.record(found, EventReason.TARGET_NOT_READY, note, EventType.WARNING)
