"""Reconciler of SecretStore and ClusterSecretStore: writes the health of the store to its status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from keyturn.api.secretstore import SecretStoreStatus
from keyturn.core.errors import Stalled
from keyturn.core.reasons import EventReason, StoreReason
from keyturn.core.status.conditions import ConditionVerdict, stamped
from keyturn.core.status.readiness import changes_readiness, readiness_of
from keyturn.kube import errors, paths
from keyturn.kube import status as statuses
from keyturn.kube.events import EventType
from keyturn.stores.key_isolation import shared_keys

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.keys import StoreKey
    from keyturn.kube.cache.stores import AnyStore
    from keyturn.stores.health import Health

    from .context import Context

__all__ = ["reconcile_store", "status_of"]

_log = structlog.get_logger()


async def reconcile_store(key: StoreKey, context: Context) -> None:
    """Write the health of a store to its status, if it has changed.

    Raises:
        ApiError: The write failed.
    """
    try:
        store = context.cache.stores.store(key)
    except Stalled:
        store = None  # an object that cannot be parsed gets no status; its users report the error
    if store is None:
        context.stores.forget(key)
        return
    health = context.stores.health(key)
    if health is None:
        return  # a health check is in progress and enqueues the store at its end
    status = status_of(store, health, context.now(), shared_keys(key, store))
    path = paths.store_status(key.kind, key.namespace, key.name)
    try:
        written = await statuses.write(context.api, path, store, status)
    except (errors.Conflict, errors.NotFound):
        return  # a conflict: the watch brings the newer object
    if written is None:
        return
    context.cache.put_store(key, written.body)
    if changes_readiness(health, store.status.conditions):
        _tell(key, store, health, context)


def status_of(store: AnyStore, health: Health, now: datetime, shared: str | None = None) -> SecretStoreStatus:
    """Return the status for a health: ready, stalled, and whether namespaces share its keys."""
    verdicts = readiness_of(health)
    if shared:
        verdicts.append(("KeysShared", ConditionVerdict("True", StoreReason.NO_NAMESPACE_IN_PREFIX, shared)))
    before, generation = store.status.conditions, store.metadata.generation
    return SecretStoreStatus(
        observed_generation=generation,
        provider=store.spec.provider.kind,
        conditions=[stamped(type_, verdict, before, now, generation) for type_, verdict in verdicts],
    )


def _tell(key: StoreKey, store: AnyStore, health: Health, context: Context) -> None:
    if health.is_ready:
        _log.info("store ready", store=str(key))
        return
    _log.warning("store not ready", store=str(key), reason=health.reason, message=health.message)
    if key.is_for_all and not context.cache.sees_namespaces:
        return  # Events of cluster-wide objects need a namespace in which this operator has no permission.
    context.events.record(
        store, EventReason.PROVIDER_ERROR, f"{health.reason}: {health.message}", EventType.WARNING
    )
