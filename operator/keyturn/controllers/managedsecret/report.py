"""Reports a pass: status, Events, metrics and log lines."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

import structlog

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.status import HistoryEntry, ManagedSecretStatus, WorkloadStatus
from keyturn.api.workloads import WorkloadState
from keyturn.controllers.context import Context
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import LEASES_REVOKED
from keyturn.core.observation.observed import Consumer, Managed, Observed
from keyturn.core.observation.workload import Workload
from keyturn.core.policy.checklist import reported_violations
from keyturn.core.policy.rules import joined_messages
from keyturn.core.reasons import ErrorReason, EventReason, RevisionReason, RevisionResult
from keyturn.core.rotation import steps
from keyturn.core.rotation.old_pods import had_rolled_back_revision
from keyturn.core.rotation.rollback import GoBack, failures, supersedes_request
from keyturn.core.rotation.rollout import goes_back, progress_of_workloads
from keyturn.core.rotation.steps import duration_of, rollout_duration
from keyturn.core.rotation.store_steps import refusal_of
from keyturn.core.status.conditions import nothing_to_rotate, status_unseen
from keyturn.core.status.status import Outcome, status_of
from keyturn.core.times import clock
from keyturn.kube import errors, paths
from keyturn.kube.events import EventType
from keyturn.kube.wire import Body
from keyturn.runtime import metrics

from .memory import Memory, Pass

_EXPECTED_WAITS = frozenset(
    {
        ErrorReason.CHANGING_CREDENTIAL,
        ErrorReason.MAKING_VALUES,
        ErrorReason.PUSHING,
        ErrorReason.READING_STORES,
    }
)
"""Reasons of a pass that waits for a store, a database server or a generator; they are no trouble."""
_WITHOUT_EVENT = frozenset({ErrorReason.API_SERVER_UNAVAILABLE, ErrorReason.ROLLED_BACK})
"""Reasons without an Event of their own: it would be lost as well, or the rollback has posted one."""

_FAILED: Final = "Failed"
_RESULTS = {WorkloadState.CURRENT: RevisionResult.SUCCEEDED, WorkloadState.FAILED: _FAILED}
_REASONS: Final = frozenset(RevisionReason)

_log = structlog.get_logger()


def report_step(step: steps.Step, this: Pass, seconds: float) -> None:
    """Report a step that was executed."""
    took = duration_of(step, this.observed, timedelta(seconds=seconds), this.context.now())
    if took is not None:
        name = "Overlap" if isinstance(step, steps.Expire) else type(step).__name__
        metrics.ROTATION_STEP_SECONDS.labels(name).observe(took.total_seconds())
    match step:
        case steps.Repair():
            metrics.DRIFT_REPAIRED.inc()
            what = ", ".join(sorted(step.keys)) or "its labels and annotations"
            note = f"the Secret was edited or deleted; restored as revision {step.number}: {what}"
            this.post(EventReason.DRIFT_REPAIRED, note)
            _log.warning("drift repaired", secret=this.name, revision=step.number, keys=sorted(step.keys))
        case GoBack():
            _report_rollback(step, this)
        case steps.RollOut(consumer=consumer):
            _report_restart(consumer, this)
        case steps.DeletePod():
            _report_deleted_pod(step, this)
        case steps.EvictPod(pod=pod):
            note = f"pod {pod.name} holds exposed values and is evicted, as the EmergencyRotation demands"
            this.warn(EventReason.POD_EVICTED, note)
            _log.info("pod evicted", secret=this.name, pod=pod.name)
        case steps.Push() | steps.Withdraw() | steps.GiveBack():
            _report_store_step(step, this)
        case steps.Rest():
            pass
        case _:
            _post_change(step, this)
            _log.info("step done", step=type(step).__name__, secret=this.name, **_facts(step))


def report_unevicted(step: steps.EvictPod, error: Wait | Stalled, this: Pass) -> None:
    """Report an eviction that the API server rejects; it is retried after the next read of the pods."""
    note = f"pod {step.pod.name} holds exposed values and is not evicted: {error.message}"
    this.warn(EventReason.EVICTION_FAILED, note)
    _log.warning("pod not evicted", secret=this.name, pod=step.pod.name, reason=error.reason)


def _post_change(step: steps.Step, this: Pass) -> None:
    """Post an Event about a change of the state or of the Secret."""
    observed = this.observed
    match step:
        case steps.Claim(number=number) | steps.Adopt(number=number):
            this.post(EventReason.CLAIMED, f"the Secret's values are kept as revision {number}")
        case steps.Publish(number=number):
            was_there = observed.managed.status.revision is not None
            is_created = observed.current is not None and observed.current.reason == RevisionReason.CREATED
            this.post(
                EventReason.CREATED if is_created and not was_there else EventReason.PUBLISHED,
                f"revision {number} is in the Secret",
                skipped_in_bulk=True,  # the status has it, and of a rotation the end is posted
            )
        case steps.Settle(number=number):
            note = f"the values of the revision before {number} are removed from the Secret"
            this.post(EventReason.REVOKED, note)
        case steps.Decline() if observed.desired:
            this.warn(EventReason.NOTHING_TO_ROTATE, nothing_to_rotate(observed.desired))
        case steps.Refresh():
            found = "no value has changed"
            if changed := sorted(observed.pulled.changed):  # and no revision is written for it now
                when = "when a window opens" if observed.pulled.waiting else "by a later revision"
                found = f"{', '.join(changed)} changed and will be written {when}"
            this.post(EventReason.REFRESHED, f"the stores were read as requested; {found}")


def _facts(step: steps.Step) -> dict[str, object]:
    match step:
        case steps.Stage(number=number, reason=reason):
            return {"revision": number, "reason": reason.name}
        case _:
            revision = getattr(step, "number", None)
            return {} if revision is None else {"revision": revision}


def _report_store_step(step: steps.StoreStep, this: Pass) -> None:
    """Report an operation at a store; one in progress is reported at its end."""
    name, pushes = type(step).__name__, this.memory.stores.pushes
    problem = None
    if isinstance(step, steps.Push | steps.Withdraw):
        problem = pushes.problems(this.key).get(step.destination.id)
    if problem is not None:
        if problem.error.reason != ErrorReason.PUSHING:
            _log.warning("push failed", step=name, secret=this.name, message=problem.error.message)
        return
    match step:
        case steps.GiveBack() if not _report_revocation(step, this):
            return
        case steps.Push(destination=destination, number=number):
            this.post(EventReason.PUSHED, f"{destination} has revision {number}")
        case steps.Withdraw(deletes=True, destination=destination):
            if pushes.take_left(this.key, destination.id):
                note = (
                    f"{destination} stays, because no recorded revision has its content; delete it if unused"
                )
                this.warn(EventReason.NOT_WITHDRAWN, note)
            else:
                this.post(EventReason.WITHDRAWN, f"{destination} is deleted")
    _log.info("step done", step=name, secret=this.name)


def _report_revocation(step: steps.GiveBack, this: Pass) -> bool:
    """Post the result of a revocation, whose state is written; return whether it is over."""
    lease, observed, leases = step.lease, this.observed, this.memory.stores.leases
    if step.is_stated:  # only now, as the statement counts from the failure on until the state is written
        leases.settle(this.key, lease.id)
    if problem := leases.postponed(this.key).get(lease.id):
        is_reported = refusal_of(lease, observed) or observed.managed.status.unrevoked_leases
        if problem.refusal and lease.is_carried and not is_reported:
            note = f"the lease of {lease.where} is valid until {clock(lease.ends)}: {problem.refusal}"
            this.warn(EventReason.LEASE_NOT_REVOKED, note)
        return False
    if step.is_stated:
        note = (
            f"the record of the lease of {lease.where} is removed: {LEASES_REVOKED} states that it is revoked"
        )
        this.post(EventReason.GIVEN_BACK, note)
    elif observed.now < lease.ends:
        this.post(EventReason.GIVEN_BACK, f"the previous lease of {lease.where} is revoked")
    return True


def _report_rollback(step: GoBack, this: Pass) -> None:
    if step.number == step.rolled_back:
        _log.info("rollback to the current revision requested", secret=this.name, revision=step.number)
        return
    metrics.ROLLBACKS.inc()
    note = f"rolled back from revision {step.rolled_back} to {step.number}"
    if step.failed:
        count_failed(this.observed)
        report_failed_workloads(this)
        why = f"workloads did not become ready; {failures(this.observed)}"
        this.warn(EventReason.ROLLED_BACK, f"{note}: {why}")
    else:
        is_superseding = supersedes_request(step, this.observed)
        superseded = "; the rotation that was requested before is superseded" if is_superseding else ""
        this.post(EventReason.ROLLED_BACK, f"{note}: requested{superseded}")
    numbers = {"revision": step.number, "given_up": step.rolled_back}
    _log.warning("revision rolled back", secret=this.name, **numbers, failed=step.failed)


def _report_restart(consumer: Consumer, this: Pass) -> None:
    observed, workload = this.of_case(Managed), consumer.workload
    number = observed.current.number
    metrics.WORKLOAD_RESTARTS.labels(workload.key.kind, "Started").inc()
    what = "restarted to use"
    if goes_back(consumer, observed):
        what = "rolled back to"  # pods that run that revision stay
    note = f"{what} revision {number} of ManagedSecret {this.key.name}"
    this.post(EventReason.RESTARTED, note, about=workload)
    _log.info("workload restarted", secret=this.name, revision=number, workload=str(workload.key))


def _report_deleted_pod(step: steps.DeletePod, this: Pass) -> None:
    workload, pod, number = step.consumer.workload, step.pod.name, step.rolled_back
    note = (
        f"pod {pod} is deleted and created again: it has revision {number} of the Secret of ManagedSecret"
        f" {this.key.name}, which was rolled back, and was never ready"
    )
    this.post(EventReason.POD_DELETED, note, about=workload)
    _log.info("pod deleted", secret=this.name, revision=number, workload=str(workload.key), pod=pod)


def report_denied(workload: Workload, error: Wait | Stalled, this: Pass) -> None:
    """Post that the API server rejects a restart, unless the status of an earlier process has it."""
    before = this.observed.reported(workload)
    if before and before.reason == error.reason:
        return
    this.warn(error.reason, error.message)
    _log.warning("restart refused", secret=this.name, workload=str(workload.key), message=error.message)


async def report(this: Pass, outcome: Outcome) -> None:
    """Write the status if it changed, and report what the change means.

    Raises:
        ApiError: The write of the status failed; nothing else was reported.
    """
    managed = this.observed.managed
    before, after = managed.status, status_of(this.observed, outcome)
    has_changed = await write_status(this.key, managed, after, this.context)
    _report_trouble(this.key, managed, outcome.error, this.memory, this.context)
    if has_changed:
        _report_violations(this, before)
        report_ends(this, before, after)


async def report_unseen(key: ObjectKey, error: Wait, memory: Memory, context: Context) -> None:
    """Report a failed observation.

    Raises:
        ApiError: The write of the status failed; the Event was posted.
    """
    found = context.cache.managed(key)
    if found is None:
        return
    _report_trouble(key, found[0], error, memory, context)
    await write_status(key, found[0], status_unseen(found[0], error, context.now()), context)


def _report_trouble(
    key: ObjectKey, managed: ManagedSecret, error: Wait | Stalled | None, memory: Memory, context: Context
) -> None:
    """Report the error of a pass, once while it stays the same."""
    fresh = None if error is None or error.reason in _EXPECTED_WAITS else f"{error.reason}: {error.message}"
    before = memory.reported.pop(key, None)
    if fresh is not None:
        memory.reported[key] = fresh
    if error is None or fresh is None or fresh == before:
        return
    if before is None and any(one.reason == error.reason for one in managed.status.conditions):
        return  # an earlier process has reported it
    if error.reason not in _WITHOUT_EVENT:
        context.events.record(managed, error.reason, error.message, EventType.WARNING)
    event = "reconcile stalled" if isinstance(error, Stalled) else "reconcile waiting"
    _log.warning(event, secret=str(key), reason=error.reason, message=error.message)


def _report_violations(this: Pass, before: ManagedSecretStatus) -> None:
    """Post the violated rules of classes that only warn; if one denies, they are the error of the pass."""
    known = {(one.rule, one.item) for one in reported_violations(before)}
    warned = [one for one in this.observed.violations if not one.denied]
    if all((one.rule, one.item) in known for one in warned):
        return
    text = joined_messages(warned)
    this.warn(EventReason.POLICY_VIOLATION, text)
    _log.warning("policy violated", secret=this.name, message=text)


async def write_status(
    key: ObjectKey, managed: ManagedSecret, status: ManagedSecretStatus, context: Context
) -> bool:
    """Write the changed fields of the status; return whether there are any.

    The resourceVersion is the fence: a pass never continues with a spec that has changed since it was read.

    Raises:
        Conflict: The object has changed; the cache gets the newer one.
    """
    if status == managed.status:
        return False
    path = f"{paths.managed_secret(key.namespace, key.name)}/status"
    try:
        write, put = context.own_writes.write_status, context.cache.put_managed
        dropped = await write(context.api, key, path, managed, status, put)
    except errors.Conflict:
        await _read_again(key, context)
        raise
    if dropped and not context.dropped_status_fields:
        context.crds_doubted.set()
    return dropped is not None


async def _read_again(key: ObjectKey, context: Context) -> None:
    """Read an object and put it into the cache."""
    version = context.cache.version_of(key)
    try:
        body: Body = await context.api.get(paths.managed_secret(key.namespace, key.name))
    except errors.NotFound:
        if context.cache.version_of(key) == version:  # otherwise it was created again meanwhile
            context.drop_managed(key)
        return
    context.cache.put_managed(body)
    if int(body["metadata"]["resourceVersion"]) < version:
        context.doubt_cache()


# The end of rollouts, and workloads that failed


def report_ends(this: Pass, before: ManagedSecretStatus, after: ManagedSecretStatus) -> None:
    """Report what ended between two statuses."""
    _report_failed_rollout(this, before, after)
    _count_restarts(this.observed, before, after)
    if before.revision is None:
        return  # the object was recreated: the history of its Secret is not new
    known = {_identity(entry) for entry in before.history}
    for entry in after.history:
        if _identity(entry) not in known:
            _report_rollout(this, entry, before, after)
            _report_end(this, entry)


def _identity(entry: HistoryEntry) -> tuple[object, ...]:
    """Return what identifies a history entry; a revision can become current more than once."""
    return (entry.revision, entry.started_at if entry.reason == RevisionReason.ROLLED_BACK else None)


def _report_rollout(
    this: Pass, entry: HistoryEntry, before: ManagedSecretStatus, after: ManagedSecretStatus
) -> None:
    observed, count = this.observed, sum(one.revision == entry.revision for one in after.workloads)
    if entry.reason == RevisionReason.ROLLED_BACK:
        count += sum(_is_rolled_back(one, before, observed) for one in after.workloads)
    if not count or entry.result != RevisionResult.SUCCEEDED:
        return
    if timed := rollout_duration(observed, this.context.now()):
        step, took = timed
        metrics.ROTATION_STEP_SECONDS.labels(step).observe(took.total_seconds())
    who = "1 workload was restarted and runs" if count == 1 else f"{count} workloads were restarted and run"
    this.post(EventReason.ROLLED_OUT, f"{who} revision {entry.revision}", skipped_in_bulk=True)


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


def _report_end(this: Pass, entry: HistoryEntry) -> None:
    facts = {"revision": entry.revision, "reason": entry.reason, "result": entry.result}
    _log.info("rotation ended", secret=this.name, **facts)
    if entry.reason == RevisionReason.ROLLED_BACK:
        return  # the rotation that it replaced is an entry of its own
    _count_rotation(entry.reason, entry.result)
    if entry.result != RevisionResult.SUCCEEDED:
        return
    if entry.reason == RevisionReason.REFRESHED:
        this.post(EventReason.REFRESHED, f"revision {entry.revision} has the values of the stores")
        return
    runs = (
        f"runs revision {entry.revision} ({entry.reason})"  # the message names those that were not restarted
    )
    note = f"every other workload {runs}; {entry.message}" if entry.message else f"every workload {runs}"
    this.post(EventReason.ROTATED, note)


def _count_rotation(reason: str, result: str) -> None:
    """Count the end of a rotation; an edited state Secret may have any reason, and each counter stays in memory."""
    metrics.ROTATIONS.labels(reason if reason in _REASONS else "Unknown", result).inc()


def report_failed_workloads(this: Pass, known: Collection[str] = ()) -> None:
    """Report the workloads that have failed with the current revision, except those in `known`."""
    number = this.observed.current.number if this.observed.current else 0
    for one in progress_of_workloads(this.observed):
        workload = one.consumer.workload
        if one.state is not WorkloadState.FAILED or f"{workload.kind}/{workload.key.name}" in known:
            continue
        note = f"did not become ready with revision {number} of ManagedSecret {this.key.name}: {one.message}"
        this.warn(EventReason.WORKLOAD_FAILED, note, about=workload)
        facts = {"revision": number, "reason": one.reason, "message": one.message}
        _log.warning("workload failed", secret=this.name, workload=str(workload.key), **facts)


def _report_failed_rollout(this: Pass, before: ManagedSecretStatus, after: ManagedSecretStatus) -> None:
    """Report a rollout that has failed between two statuses."""
    failed, current = _failed_in(after) - _failed_in(before), this.observed.current
    if not failed or current is None:
        return
    report_failed_workloads(this, _failed_in(before))
    _count_rotation(current.reason, _FAILED)
    names = ", ".join(sorted(failed))
    this.warn(EventReason.ROTATION_FAILED, f"not available with the new revision: {names}")
    _log.warning("rollout failed", secret=this.name, revision=current.number, workloads=names)


def _failed_in(status: ManagedSecretStatus) -> set[str]:
    """Return the failed workloads of a status."""
    return {f"{one.kind}/{one.name}" for one in status.workloads if one.state is WorkloadState.FAILED}


def count_failed(observed: Observed) -> None:
    """Count the failed restarts of a revision that is rolled back, before a status reports them."""
    known = _failed_in(observed.managed.status)
    for one in progress_of_workloads(observed):
        workload = one.consumer.workload
        if one.state is WorkloadState.FAILED and f"{workload.kind}/{workload.key.name}" not in known:
            metrics.WORKLOAD_RESTARTS.labels(workload.kind, _RESULTS[one.state]).inc()
