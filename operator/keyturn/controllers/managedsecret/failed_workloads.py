"""Reports each workload that failed with a revision: an Event on the workload, and a line in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from keyturn.api.status import WorkloadState
from keyturn.core.reasons import EventReason
from keyturn.core.rotation.rollout import standings
from keyturn.kube.events import EventType

if TYPE_CHECKING:
    from collections.abc import Collection

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed

__all__ = ["tell_failed_workloads"]

_log = structlog.get_logger()


def tell_failed_workloads(
    key: ObjectKey, observed: Observed, context: Context, told: Collection[str] = ()
) -> None:
    """Report the workloads that have failed with the current revision, except those in `told`."""
    number = observed.current.number if observed.current else 0
    for one in standings(observed, observed.desired) if observed.desired else ():
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
