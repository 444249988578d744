"""Reports workloads that failed with a revision, and their rollout: Events, metrics, and lines in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from keyturn.api.status import WorkloadState
from keyturn.core.reasons import EventReason
from keyturn.core.rotation.rollout import standings
from keyturn.kube.events import EventType
from keyturn.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Collection

    from keyturn.api.status import ManagedSecretStatus
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed

__all__ = ["failed_in", "tell_failed_rollout", "tell_failed_workloads"]

_log = structlog.get_logger()


def tell_failed_workloads(
    key: ObjectKey, observed: Observed, context: Context, told: Collection[str] = ()
) -> None:
    """Report the workloads that have failed with the current revision, except those in `told`."""
    number = observed.current.number if observed.current else 0
    for one in standings(observed):
        workload = one.consumer.workload
        name = f"{workload.kind}/{workload.key.name}"
        if one.state is not WorkloadState.FAILED or name in told:
            continue
        note = f"did not become ready with revision {number} of ManagedSecret {key.name}: {one.message}"
        context.events.record(workload, EventReason.WORKLOAD_FAILED, note, EventType.WARNING)
        _log.warning(
            "workload failed",
            secret=str(key),
            workload=str(workload.key),
            revision=number,
            reason=one.reason,
            message=one.message,
        )


def tell_failed_rollout(
    key: ObjectKey,
    observed: Observed,
    before: ManagedSecretStatus,
    after: ManagedSecretStatus,
    context: Context,
) -> None:
    """Report a rollout that has failed between two statuses."""
    failed = failed_in(after) - failed_in(before)
    if not failed or observed.current is None:
        return
    tell_failed_workloads(key, observed, context, failed_in(before))
    metrics.ROTATIONS.labels(observed.current.reason, "Failed").inc()
    names = ", ".join(sorted(failed))
    context.events.record(
        observed.managed,
        EventReason.ROTATION_FAILED,
        f"not available with the new revision: {names}",
        EventType.WARNING,
    )
    _log.warning("rollout failed", secret=str(key), revision=observed.current.number, workloads=names)


def failed_in(status: ManagedSecretStatus) -> set[str]:
    """Return the failed workloads of a status."""
    return {f"{one.kind}/{one.name}" for one in status.workloads if one.state is WorkloadState.FAILED}
