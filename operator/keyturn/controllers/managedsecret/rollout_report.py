"""Reports the end of rollouts, and the workloads that failed: Events, metrics, and lines in the log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import structlog

from keyturn.api.status import HistoryEntry, ManagedSecretStatus, WorkloadState, WorkloadStatus
from keyturn.controllers.context import Context
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import EventReason, RevisionReason, RevisionResult
from keyturn.core.rotation.old_pods import had_rolled_back_revision
from keyturn.core.rotation.rollout import progress_of_workloads
from keyturn.core.rotation.steps import rollout_duration
from keyturn.kube.events import EventType
from keyturn.runtime import metrics

_FAILED: Final = "Failed"
_RESULTS = {WorkloadState.CURRENT: RevisionResult.SUCCEEDED, WorkloadState.FAILED: _FAILED}
_REASONS: Final = frozenset(RevisionReason)

_log = structlog.get_logger()


def report_ends(
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
            _report_end(key, observed, entry, context)


def _identity(entry: HistoryEntry) -> tuple[object, ...]:
    """Return what identifies a history entry; a revision can become current more than once."""
    return (entry.revision, entry.started_at if entry.reason == RevisionReason.ROLLED_BACK else None)


def _report_rollout(
    observed: Observed,
    entry: HistoryEntry,
    before: ManagedSecretStatus,
    after: ManagedSecretStatus,
    context: Context,
) -> None:
    count = sum(one.revision == entry.revision for one in after.workloads)
    if entry.reason == RevisionReason.ROLLED_BACK:
        count += sum(_is_rolled_back(one, before, observed) for one in after.workloads)
    if not count or entry.result != RevisionResult.SUCCEEDED:
        return
    if timed := rollout_duration(observed, context.now()):
        step, took = timed
        metrics.ROTATION_STEP_SECONDS.labels(step).observe(took.total_seconds())
    who = "1 workload was restarted and runs" if count == 1 else f"{count} workloads were restarted and run"
    note = f"{who} revision {entry.revision}"
    context.events.record(observed.managed, EventReason.ROLLED_OUT, note, skipped_in_bulk=True)


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
    return one.revision is None and last is not None and had_rolled_back_revision(last, observed)


def _report_end(key: ObjectKey, observed: Observed, entry: HistoryEntry, context: Context) -> None:
    _log.info(
        "rotation ended", secret=str(key), revision=entry.revision, reason=entry.reason, result=entry.result
    )
    if entry.reason == RevisionReason.ROLLED_BACK:
        return  # the rotation that it replaced is an entry of its own
    _count_rotation(entry.reason, entry.result)
    if entry.result != RevisionResult.SUCCEEDED:
        return
    if entry.reason == RevisionReason.REFRESHED:
        context.events.record(
            observed.managed, EventReason.REFRESHED, f"revision {entry.revision} has the values of the stores"
        )
        return
    context.events.record(
        observed.managed,
        EventReason.ROTATED,
        _success_note(entry),
    )


def _count_rotation(reason: str, result: str) -> None:
    """Count the end of a rotation; an edited state Secret may have any reason, and each counter stays in memory."""
    metrics.ROTATIONS.labels(reason if reason in _REASONS else "Unknown", result).inc()


def report_failed_workloads(
    key: ObjectKey, observed: Observed, context: Context, told: Collection[str] = ()
) -> None:
    """Report the workloads that have failed with the current revision, except those in `told`."""
    number = observed.current.number if observed.current else 0
    for one in progress_of_workloads(observed):
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


def _report_failed_rollout(
    key: ObjectKey,
    observed: Observed,
    before: ManagedSecretStatus,
    after: ManagedSecretStatus,
    context: Context,
) -> None:
    """Report a rollout that has failed between two statuses."""
    failed = _failed_in(after) - _failed_in(before)
    if not failed or observed.current is None:
        return
    report_failed_workloads(key, observed, context, _failed_in(before))
    _count_rotation(observed.current.reason, _FAILED)
    names = ", ".join(sorted(failed))
    context.events.record(
        observed.managed,
        EventReason.ROTATION_FAILED,
        f"not available with the new revision: {names}",
        EventType.WARNING,
    )
    _log.warning("rollout failed", secret=str(key), revision=observed.current.number, workloads=names)


def _failed_in(status: ManagedSecretStatus) -> set[str]:
    """Return the failed workloads of a status."""
    return {f"{one.kind}/{one.name}" for one in status.workloads if one.state is WorkloadState.FAILED}


def count_failed(observed: Observed) -> None:
    """Count the failed restarts of a revision that is rolled back, before a status reports them."""
    told = _failed_in(observed.managed.status)
    for one in progress_of_workloads(observed):
        workload = one.consumer.workload
        if one.state is WorkloadState.FAILED and f"{workload.kind}/{workload.key.name}" not in told:
            metrics.WORKLOAD_RESTARTS.labels(workload.kind, _RESULTS[one.state]).inc()


def _success_note(entry: HistoryEntry) -> str:
    """Return the note of a rotation that has ended, with the workloads that were not restarted."""
    runs = f"runs revision {entry.revision} ({entry.reason})"
    return f"every other workload {runs}; {entry.message}" if entry.message else f"every workload {runs}"
