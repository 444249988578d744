"""Events, metrics and log lines at the end of a rotation, rollout or rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from keyturn.api.status import WorkloadState
from keyturn.core.rotation.durations import rollout_duration
from keyturn.core.rotation.old_pods import had_what_was_given_up
from keyturn.core.rotation.reasons import REFRESHED
from keyturn.core.rotation.rollout import standings
from keyturn.core.status.status import ROLLED_BACK, SUCCEEDED
from keyturn.kube.events import EventType
from keyturn.runtime import metrics

if TYPE_CHECKING:
    from keyturn.api.status import HistoryEntry, ManagedSecretStatus, WorkloadStatus
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed

__all__ = ["count_what_failed", "tell_ends"]

_log = structlog.get_logger()


def tell_ends(
    key: ObjectKey,
    observed: Observed,
    before: ManagedSecretStatus,
    after: ManagedSecretStatus,
    context: Context,
) -> None:
    """Report what ended between two statuses."""
    _report_failed_rollout(key, observed, before, after, context)
    _count_restarts(observed, before, after)
    if before.revision is None:
        return  # the object was recreated: the history of its Secret is not new
    known = {_identity(entry) for entry in before.history}
    for entry in after.history:
        if _identity(entry) not in known:
            _report_rollout(observed, entry, before, after, context)
            _tell_end(key, observed, entry, context)


def _identity(entry: HistoryEntry) -> tuple[object, ...]:
    """Return what identifies a history entry; a revision can become current more than once."""
    return (entry.revision, entry.started_at if entry.reason == ROLLED_BACK else None)


def _report_rollout(
    observed: Observed,
    entry: HistoryEntry,
    before: ManagedSecretStatus,
    after: ManagedSecretStatus,
    context: Context,
) -> None:
    count = sum(one.revision == entry.revision for one in after.workloads)
    if entry.reason == ROLLED_BACK:
        count += sum(_is_rolled_back(one, before, observed) for one in after.workloads)
    if not count or entry.result != SUCCEEDED:
        return
    if timed := rollout_duration(observed, context.now()):
        step, took = timed
        metrics.ROTATION_STEP_SECONDS.labels(step).observe(took.total_seconds())
    who = "1 workload was restarted and runs" if count == 1 else f"{count} workloads were restarted and run"
    context.events.record(observed.managed, "RolledOut", f"{who} revision {entry.revision}")


def _count_restarts(observed: Observed, before: ManagedSecretStatus, after: ManagedSecretStatus) -> None:
    """Count the results of restarts for the current revision, each when its state changes."""
    number = observed.current.number if observed.current else None
    known = {(one.kind, one.name): one for one in before.workloads}
    for one in after.workloads:
        last = known.get((one.kind, one.name))
        is_same = last is not None and (last.state, last.revision) == (one.state, one.revision)
        concerns = one.revision == number or _is_rolled_back(one, before, observed)
        if last is None or is_same or not concerns:
            continue
        if result := _RESULTS.get(one.state):
            metrics.WORKLOAD_RESTARTS.labels(one.kind, result).inc()


def _is_rolled_back(one: WorkloadStatus, before: ManagedSecretStatus, observed: Observed) -> bool:
    """Whether a workload without a marker before the rolled back revision has none again."""
    last = before.by_workload.get((one.kind, one.name))
    return one.revision is None and last is not None and had_what_was_given_up(last, observed)


def count_what_failed(observed: Observed) -> None:
    """Count the failed restarts of a revision that is rolled back, before a status reports them."""
    told = _failed(observed.managed.status)
    for one in standings(observed, observed.desired) if observed.desired else ():
        workload = one.consumer.workload
        if one.state is WorkloadState.FAILED and f"{workload.kind}/{workload.key.name}" not in told:
            metrics.WORKLOAD_RESTARTS.labels(workload.kind, _RESULTS[one.state]).inc()


_RESULTS = {WorkloadState.CURRENT: SUCCEEDED, WorkloadState.FAILED: "Failed"}


def _tell_end(key: ObjectKey, observed: Observed, entry: HistoryEntry, context: Context) -> None:
    _log.info(
        "rotation ended", secret=str(key), revision=entry.revision, reason=entry.reason, result=entry.result
    )
    if entry.reason == ROLLED_BACK:
        return  # the rotation that it replaced is an entry of its own
    metrics.ROTATIONS.labels(entry.reason, entry.result).inc()
    if entry.result != SUCCEEDED:
        return
    if entry.reason == REFRESHED:
        context.events.record(
            observed.managed, "Refreshed", f"revision {entry.revision} has the values of the stores"
        )
        return
    context.events.record(
        observed.managed, "Rotated", f"every workload runs revision {entry.revision} ({entry.reason})"
    )


def _report_failed_rollout(
    key: ObjectKey,
    observed: Observed,
    before: ManagedSecretStatus,
    after: ManagedSecretStatus,
    context: Context,
) -> None:
    failed = _failed(after) - _failed(before)
    if not failed or observed.current is None:
        return
    metrics.ROTATIONS.labels(observed.current.reason, "Failed").inc()
    names = ", ".join(sorted(failed))
    context.events.record(
        observed.managed,
        "RotationFailed",
        f"not available with the new revision: {names}",
        EventType.WARNING,
    )
    _log.warning("rollout failed", secret=str(key), revision=observed.current.number, workloads=names)


def _failed(status: ManagedSecretStatus) -> set[str]:
    return {f"{one.kind}/{one.name}" for one in status.workloads if one.state is WorkloadState.FAILED}
