"""Reconciler of DatabaseTarget and ClusterDatabaseTarget: writes the health of the server to its status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from keyturn.api.databasetarget import DatabaseTargetStatus
from keyturn.core.errors import Stalled
from keyturn.core.reasons import EventReason
from keyturn.core.status.conditions import stamped
from keyturn.core.status.readiness import changes_readiness, readiness_of
from keyturn.kube import errors, paths
from keyturn.kube import status as statuses
from keyturn.kube.events import EventType

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.keys import TargetKey
    from keyturn.databases import TargetHealth
    from keyturn.kube.cache.targets import AnyTarget

    from .context import Context

__all__ = ["reconcile_target", "status_of"]

_log = structlog.get_logger()


async def reconcile_target(key: TargetKey, context: Context) -> None:
    """Write the health of a target to its status, if it has changed.

    Raises:
        ApiError: The write failed.
    """
    try:
        target = context.cache.targets.target(key)
    except Stalled:
        target = None  # an object that cannot be parsed gets no status; its users report the error
    if target is None:
        context.databases.forget(key)
        return
    health = context.databases.health(key)
    if health is None:
        return  # a health check is in progress and enqueues the target at its end
    status = status_of(target, health, context.now())
    path = paths.target_status(key.kind, key.namespace, key.name)
    try:
        written = await statuses.write(context.api, path, target, status)
    except (errors.Conflict, errors.NotFound):
        return  # a conflict: the watch brings the newer object
    if written is None:
        return
    context.cache.put_target(key, written.body)
    if changes_readiness(health, target.status.conditions):
        _tell(key, target, health, context)


def status_of(target: AnyTarget, health: TargetHealth, now: datetime) -> DatabaseTargetStatus:
    """Return the status for a health; the version of a server that does not answer stays as it was."""
    before, generation = target.status.conditions, target.metadata.generation
    return DatabaseTargetStatus(
        observed_generation=generation,
        engine="postgresql" if target.spec.postgresql else None,
        version=health.version or target.status.version,
        conditions=[
            stamped(type_, verdict, before, now, generation) for type_, verdict in readiness_of(health)
        ],
    )


def _tell(key: TargetKey, target: AnyTarget, health: TargetHealth, context: Context) -> None:
    if health.is_ready:
        _log.info("database target ready", target=str(key))
        return
    _log.warning("database target not ready", target=str(key), reason=health.reason, message=health.message)
    if key.is_for_all and not context.cache.sees_namespaces:
        return  # Events of cluster-wide objects need a namespace in which this operator has no permission.
    context.events.record(
        target, EventReason.TARGET_NOT_READY, f"{health.reason}: {health.message}", EventType.WARNING
    )
