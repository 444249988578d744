"""Reports a pass: status, Events, metrics and log lines."""

from __future__ import annotations

from datetime import timedelta

import structlog

from keyturn.api.managedsecret import ManagedSecret
from keyturn.api.status import ManagedSecretStatus
from keyturn.controllers.context import Context
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.labels import LEASES_REVOKED
from keyturn.core.observation.observed import Consumer, Observed
from keyturn.core.observation.workload import Workload
from keyturn.core.policy.checklist import reported_violations
from keyturn.core.policy.rules import joined_messages
from keyturn.core.reasons import ErrorReason, EventReason, RevisionReason
from keyturn.core.rotation import steps
from keyturn.core.rotation.rollback import GoBack, failures, supersedes_request
from keyturn.core.rotation.rollout import goes_back
from keyturn.core.rotation.steps import duration_of
from keyturn.core.rotation.store_steps import refusal_of
from keyturn.core.status.conditions import nothing_to_rotate, status_unseen
from keyturn.core.status.status import Outcome, status_of
from keyturn.core.times import clock
from keyturn.kube import errors, paths
from keyturn.kube import status as statuses
from keyturn.kube.events import EventType
from keyturn.kube.wire import Body
from keyturn.runtime import metrics

from .leases import LeaseMemory
from .refresh import StoreMemory
from .rollout_report import count_failed, report_ends, report_failed_workloads

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

_log = structlog.get_logger()


class ReportedErrors:
    """The error that was last reported in a log line and an Event, by ManagedSecret; none after a success."""

    def __init__(self) -> None:
        self._errors: dict[ObjectKey, str] = {}

    def replace(self, key: ObjectKey, error: str | None) -> str | None:
        """Set the error, and return the previous one."""
        before = self._errors.pop(key, None)
        if error is not None:
            self._errors[key] = error
        return before

    def forget(self, key: ObjectKey) -> None:
        self._errors.pop(key, None)


def report_step(
    step: steps.Step,
    key: ObjectKey,
    observed: Observed,
    seconds: float,
    stores: StoreMemory,
    context: Context,
) -> None:
    """Report a step that was executed."""
    took = duration_of(step, observed, timedelta(seconds=seconds), context.now())
    if took is not None:
        name = "Overlap" if isinstance(step, steps.Expire) else type(step).__name__
        metrics.ROTATION_STEP_SECONDS.labels(name).observe(took.total_seconds())
    match step:
        case steps.Repair():
            _report_repair(step, key, observed, context)
        case GoBack():
            _report_rollback(step, key, observed, context)
        case steps.RollOut(consumer=consumer):
            _report_restart(consumer, key, observed, context)
        case steps.DeletePod():
            _report_deleted_pod(step, key, context)
        case steps.EvictPod(pod=pod):
            note = f"pod {pod.name} holds exposed values and is evicted, as the EmergencyRotation demands"
            context.events.record(observed.managed, EventReason.POD_EVICTED, note, EventType.WARNING)
            _log.info("pod evicted", secret=str(key), pod=pod.name)
        case steps.Push() | steps.Withdraw() | steps.GiveBack():
            _report_store_step(step, key, observed, stores, context)
        case steps.Rest():
            pass
        case _:
            _post_change(step, observed, context)
            _log.info("step done", step=type(step).__name__, secret=str(key), **_facts(step))


def report_unevicted(
    step: steps.EvictPod, error: Wait | Stalled, key: ObjectKey, observed: Observed, context: Context
) -> None:
    """Report an eviction that the API server rejects; it is retried after the next read of the pods."""
    note = f"pod {step.pod.name} holds exposed values and is not evicted: {error.message}"
    context.events.record(observed.managed, EventReason.EVICTION_FAILED, note, EventType.WARNING)
    _log.warning("pod not evicted", secret=str(key), pod=step.pod.name, reason=error.reason)


def _post_change(step: steps.Step, observed: Observed, context: Context) -> None:
    """Post an Event about a change of the state or of the Secret."""
    match step:
        case steps.Claim(number=number) | steps.Adopt(number=number):
            context.events.record(
                observed.managed, EventReason.CLAIMED, f"the Secret's values are kept as revision {number}"
            )
        case steps.Publish(number=number):
            was_there = observed.managed.status.revision is not None
            is_first = (
                observed.current is not None
                and observed.current.reason == RevisionReason.CREATED
                and not was_there
            )
            context.events.record(
                observed.managed,
                EventReason.CREATED if is_first else EventReason.PUBLISHED,
                f"revision {number} is in the Secret",
                skipped_in_bulk=True,  # the status has it, and of a rotation the end is posted
            )
        case steps.Settle(number=number):
            context.events.record(
                observed.managed,
                EventReason.REVOKED,
                f"the values of the revision before {number} are removed from the Secret",
            )
        case steps.Decline() if observed.desired:
            context.events.record(
                observed.managed,
                EventReason.NOTHING_TO_ROTATE,
                nothing_to_rotate(observed.desired),
                EventType.WARNING,
            )
        case steps.Refresh():
            found = "no value has changed"
            if changed := sorted(observed.pulled.changed):  # and no revision is written for it now
                when = "when a window opens" if observed.pulled.waiting else "by a later revision"
                found = f"{', '.join(changed)} changed and will be written {when}"
            note = f"the stores were read as requested; {found}"
            context.events.record(observed.managed, EventReason.REFRESHED, note)


def _facts(step: steps.Step) -> dict[str, object]:
    match step:
        case steps.Stage(number=number, reason=reason):
            return {"revision": number, "reason": reason.name}
        case _:
            revision = getattr(step, "number", None)
            return {} if revision is None else {"revision": revision}


def _report_repair(step: steps.Repair, key: ObjectKey, observed: Observed, context: Context) -> None:
    metrics.DRIFT_REPAIRED.inc()
    what = ", ".join(sorted(step.keys)) or "its labels and annotations"
    note = f"the Secret was edited or deleted; restored as revision {step.number}: {what}"
    context.events.record(observed.managed, EventReason.DRIFT_REPAIRED, note)
    _log.warning("drift repaired", secret=str(key), revision=step.number, keys=sorted(step.keys))


def _report_store_step(
    step: steps.StoreStep, key: ObjectKey, observed: Observed, stores: StoreMemory, context: Context
) -> None:
    """Report an operation at a store; one in progress is reported at its end."""
    name = type(step).__name__
    problem = None
    if isinstance(step, steps.Push | steps.Withdraw):
        problem = stores.pushes.problems(key).get(step.destination.id)
    if problem is not None:
        if problem.error.reason != ErrorReason.PUSHING:
            _log.warning("push failed", step=name, secret=str(key), message=problem.error.message)
        return
    if isinstance(step, steps.GiveBack) and not _report_revocation(
        step, key, observed, stores.leases, context
    ):
        return
    match step:
        case steps.Push(destination=destination, number=number):
            context.events.record(
                observed.managed, EventReason.PUSHED, f"{destination} has revision {number}"
            )
        case steps.Withdraw(deletes=True):
            if stores.pushes.take_left(key, step.destination.id):
                note = f"{step.destination} stays, because no recorded revision has its content; delete it if unused"
                context.events.record(observed.managed, EventReason.NOT_WITHDRAWN, note, EventType.WARNING)
            else:
                note = f"{step.destination} is deleted"
                context.events.record(observed.managed, EventReason.WITHDRAWN, note)
    _log.info("step done", step=name, secret=str(key))


def _report_revocation(
    step: steps.GiveBack, key: ObjectKey, observed: Observed, memory: LeaseMemory, context: Context
) -> bool:
    """Post the result of a revocation, whose state is written; return whether it is over."""
    lease = step.lease
    if step.is_stated:  # only now, as the statement counts from the failure on until the state is written
        memory.settle(key, lease.id)
    problem = memory.postponed(key).get(lease.id)
    if problem:
        is_told = refusal_of(lease, observed) or observed.managed.status.unrevoked_leases
        if problem.refusal and lease.is_carried and not is_told:
            note = f"the lease of {lease.where} is valid until {clock(lease.ends)}: {problem.refusal}"
            context.events.record(observed.managed, EventReason.LEASE_NOT_REVOKED, note, EventType.WARNING)
        return False
    if step.is_stated:
        note = (
            f"the record of the lease of {lease.where} is removed: {LEASES_REVOKED} states that it is revoked"
        )
        context.events.record(observed.managed, EventReason.GIVEN_BACK, note)
    elif observed.now < lease.ends:
        note = f"the previous lease of {lease.where} is revoked"
        context.events.record(observed.managed, EventReason.GIVEN_BACK, note)
    return True


def _report_rollback(step: GoBack, key: ObjectKey, observed: Observed, context: Context) -> None:
    if step.number == step.rolled_back:
        _log.info("rollback to the current revision requested", secret=str(key), revision=step.number)
        return
    metrics.ROLLBACKS.inc()
    if step.failed:
        count_failed(observed)
        report_failed_workloads(key, observed, context)
    superseded = "; the rotation that was requested before is superseded"
    asked = f"requested{superseded if supersedes_request(step, observed) else ''}"
    why = f"workloads did not become ready; {failures(observed)}" if step.failed else asked
    note = f"rolled back from revision {step.rolled_back} to {step.number}: {why}"
    context.events.record(
        observed.managed,
        EventReason.ROLLED_BACK,
        note,
        EventType.WARNING if step.failed else EventType.NORMAL,
    )
    _log.warning(
        "revision rolled back",
        secret=str(key),
        revision=step.number,
        given_up=step.rolled_back,
        failed=step.failed,
    )


def _report_restart(consumer: Consumer, key: ObjectKey, observed: Observed, context: Context) -> None:
    workload, number = consumer.workload, observed.current.number if observed.current else 0
    metrics.WORKLOAD_RESTARTS.labels(workload.key.kind, "Started").inc()
    what = "restarted to use"
    if observed.desired and goes_back(consumer, observed, observed.desired):
        what = "rolled back to"  # pods that run that revision stay
    context.events.record(
        workload, EventReason.RESTARTED, f"{what} revision {number} of ManagedSecret {key.name}"
    )
    _log.info("workload restarted", secret=str(key), revision=number, workload=str(workload.key))


def _report_deleted_pod(step: steps.DeletePod, key: ObjectKey, context: Context) -> None:
    workload, pod = step.consumer.workload, step.pod
    context.events.record(
        workload,
        EventReason.POD_DELETED,
        f"pod {pod.name} is deleted and created again: it has revision {step.rolled_back} of the Secret of"
        f" ManagedSecret {key.name}, which was rolled back, and was never ready",
    )
    _log.info(
        "pod deleted", secret=str(key), revision=step.rolled_back, workload=str(workload.key), pod=pod.name
    )


def report_denied(
    workload: Workload, error: Wait | Stalled, key: ObjectKey, observed: Observed, context: Context
) -> None:
    """Post that the API server rejects a restart, unless the status of an earlier process has it."""
    told = observed.reported(workload)
    if told and told.reason == error.reason:
        return
    context.events.record(observed.managed, error.reason, error.message, EventType.WARNING)
    _log.warning("restart refused", secret=str(key), workload=str(workload.key), message=error.message)


async def report(
    key: ObjectKey,
    observed: Observed,
    outcome: Outcome,
    reported: ReportedErrors,
    context: Context,
) -> None:
    """Write the status if it changed, and report what the change means.

    Raises:
        ApiError: The write of the status failed; nothing else was reported.
    """
    before, after = observed.managed.status, status_of(observed, outcome)
    await write_status(key, observed.managed, after, context)
    _report_trouble(key, observed.managed, outcome.error, reported, context)
    _report_violations(key, observed, before, context)
    report_ends(key, observed, before, after, context)


async def report_unseen(key: ObjectKey, error: Wait, reported: ReportedErrors, context: Context) -> None:
    """Report a failed observation.

    Raises:
        ApiError: The write of the status failed; the Event was posted.
    """
    found = context.cache.managed(key)
    if found is None:
        return
    _report_trouble(key, found[0], error, reported, context)
    await write_status(key, found[0], status_unseen(found[0], error, context.now()), context)


def _report_trouble(
    key: ObjectKey,
    managed: ManagedSecret,
    error: Wait | Stalled | None,
    reported: ReportedErrors,
    context: Context,
) -> None:
    """Report the error of a pass, once while it stays the same."""
    told = None if error is None or error.reason in _EXPECTED_WAITS else f"{error.reason}: {error.message}"
    was_told = reported.replace(key, told)
    if error is None or told is None or told == was_told:
        return
    if was_told is None and any(one.reason == error.reason for one in managed.status.conditions):
        return  # an earlier process has reported it
    if error.reason not in _WITHOUT_EVENT:
        context.events.record(managed, error.reason, error.message, EventType.WARNING)
    if isinstance(error, Stalled):
        _log.warning("reconcile stalled", secret=str(key), reason=error.reason, message=error.message)
    else:
        _log.warning("reconcile waiting", secret=str(key), reason=error.reason, message=error.message)


def _report_violations(
    key: ObjectKey, observed: Observed, before: ManagedSecretStatus, context: Context
) -> None:
    """Post the violated rules of classes that only warn; if one denies, they are the error of the pass."""
    told = {(one.rule, one.item) for one in reported_violations(before)}
    warned = [one for one in observed.violations if not one.denied]
    if all((one.rule, one.item) in told for one in warned):
        return
    text = joined_messages(warned)
    context.events.record(observed.managed, EventReason.POLICY_VIOLATION, text, EventType.WARNING)
    _log.warning("policy violated", secret=str(key), message=text)


async def write_status(
    key: ObjectKey,
    managed: ManagedSecret,
    status: ManagedSecretStatus,
    context: Context,
) -> None:
    """Write the changed fields of the status.

    The resourceVersion is the fence: a pass never continues with a spec that has changed since it was read.

    Raises:
        Conflict: The object has changed; the cache gets the newer one.
    """
    path = paths.managed_secret_status(key.namespace, key.name)
    try:
        write = statuses.write(context.api, "ManagedSecret", path, managed, status)
        written = await context.own_writes.write_status(key, managed, write, context.cache.put_managed)
    except errors.Conflict:
        await _look_again(key, context)
        raise
    if written and written.dropped and not context.dropped_status_fields:
        context.doubt_crds()


async def _look_again(key: ObjectKey, context: Context) -> None:
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
