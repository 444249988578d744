"""Reconcile loop of ManagedSecret: observe, choose a step, execute it, report. Repeats until no step is left."""

from datetime import datetime, timedelta
from functools import partial

import structlog

from keyturn.controllers.context import Context
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import Managed, Observed, Restarted
from keyturn.core.observation.workload import read_marker
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.status.status import Outcome
from keyturn.kube import errors
from keyturn.kube.pod_lists import ListPaused
from keyturn.runtime import failpoints, metrics
from keyturn.runtime.clock import loop_time

from .account.probe import with_account
from .account_report import report_account_step, report_verdict
from .execute import execute_step
from .memory import Memory, Pass
from .observe import observe
from .refresh import with_stores
from .report import report, report_denied, report_step, report_unevicted, report_unseen
from .retries import (
    PASSING,
    concerns_one,
    contention_error,
    drop_generated,
    error_of_observation,
    error_of_step,
    next_time,
    pass_pause,
    report_time,
    unexpected_error,
)

_MAX_STEPS = 25
_CONFLICT_DELAY = timedelta(milliseconds=200)
_RETRY_DELAY = timedelta(seconds=2)

_log = structlog.get_logger()


async def reconcile(key: ObjectKey, memory: Memory, context: Context) -> datetime | None:
    """Reconcile one ManagedSecret; return when it is due again.

    Idempotent: each step is one idempotent write, and depends on the observation alone. A failure is retried with
    back-off, and loses its turn to restart.
    """
    try:
        with metrics.RECONCILE_SECONDS.time():
            return await _run_steps(key, memory, context)
    except errors.NotLeading:
        raise  # this process must not write any more
    except errors.ApiError as error:
        _log.warning("observation failed", secret=str(key), error=error)
        memory.budget.leave(key)
        return _retry_time(key, _RETRY_DELAY, memory, context)
    except Wait as wait:
        memory.budget.leave(key)
        await _report_unseen(key, wait, memory, context)
        return _retry_time(key, wait.after, memory, context)
    except Exception:
        memory.budget.leave(key)
        await _report_unseen(key, unexpected_error(), memory, context)
        raise  # the work queue logs it and retries
    finally:
        memory.forget_values(key)
        if not context.cache.has_managed(key):
            memory.forget(key)
        for other in memory.compliance.pop_affected():
            context.queue.add(other)


async def _run_steps(key: ObjectKey, memory: Memory, context: Context) -> datetime | None:
    """Execute steps until none is left."""
    conflicts = 0
    for _ in range(_MAX_STEPS):
        try:
            observed = await _observe(key, memory, context)
            if observed is None:
                return None
            this = Pass(key, observed, memory, context)
            outcome = await _next_step(this)
            if isinstance(outcome, Outcome):
                return await _end_pass(this, outcome)
            # If many secrets rotate at once, all are published before the first workload restarts, and all
            # restarts are requested before the first is reported: a rollout of pods loads the API server for
            # every tenant.
            if isinstance(outcome, steps.RollOut | steps.EvictPod) or (
                isinstance(outcome, steps.Publish) and bool(observed.consumers)
            ):
                return context.now()
        except ListPaused as pause:
            return context.now() + timedelta(seconds=pause.seconds)
        except errors.Conflict:
            # Another writer was faster: read again and decide again.
            memory.forget_values(key)
            conflicts += 1
    metrics.NOT_CONVERGED.inc()
    _log.warning("reconcile did not converge", secret=str(key), steps=_MAX_STEPS)
    memory.budget.leave(key)
    if conflicts == _MAX_STEPS:
        await _report_unseen(key, contention_error(), memory, context)
    return _retry_time(key, _CONFLICT_DELAY, memory, context)


async def _observe(key: ObjectKey, memory: Memory, context: Context) -> Observed | None:
    """Observe the object, and read its stores if that is due."""
    try:
        observed = await observe(key, memory, context)
        if observed is None:
            return None
        load = partial(memory.secrets.state, key)
        observed = await with_stores(key, observed, memory.stores, context, load)
        if observed.account_desired is None and key not in memory.accounts.records:
            return observed
        return with_account(key, observed, memory.accounts, context)
    except PASSING:
        raise
    except errors.ApiError as error:
        _log.warning("observation failed", secret=str(key), error=error)
        raise error_of_observation(error) from error


async def _next_step(this: Pass) -> Outcome | steps.Step:
    """Execute the next step; return the step, or the outcome of the pass if none is left."""
    key, observed, memory = this.key, this.observed, this.memory
    step: steps.Step | None = None
    try:
        step = next_step(observed)
        if isinstance(step, steps.Rest):
            return Outcome(step, step.problem, memory.failures[key] + 1 if step.problem else 0)
        began = loop_time()
        if not isinstance(step, steps.RollOut):
            await _execute(step, this)
        elif not await _restart(step, this):
            return steps.Rest(None)  # the next observation has the wait
    except (Wait, Stalled) as error:
        if isinstance(step, steps.EvictPod):
            report_unevicted(step, error, this)
            return step
        if isinstance(step, steps.RollOut | steps.DeletePod) and concerns_one(error):
            workload = step.consumer.workload
            if memory.restarts.deny(key, error, workload, this.of_case(Managed)):
                report_denied(workload, error, this)
            return step  # with the other workloads
        return Outcome(step, error, memory.failures[key] + 1)
    if isinstance(step, steps.Account):
        report_account_step(step, this)
    else:
        report_step(step, this, loop_time() - began)
    return step


async def _end_pass(this: Pass, outcome: Outcome) -> datetime | None:
    """Report how a pass ended; return when the object is due again."""
    key, memory, context = this.key, this.memory, this.context
    drop_generated(key, outcome, memory.generated, context.now())
    if later := report_time(key, outcome, memory.generated, memory.stores.pulls, context.now()):
        memory.failures[key] += 1
        return later
    failpoints.reached("before", "Report")
    await report(this, outcome)
    if this.observed.account_desired:
        report_verdict(this)
    is_affected = this.observed.emergencies or key in memory.emergencies.noted
    if is_affected and (affected := memory.emergencies.note(key, this.observed, outcome.error)):
        for emergency in affected:
            context.queue.add(emergency)
        for other in memory.emergencies.take_waiting(key):
            context.queue.add(other)
    failpoints.reached("after", "Report")
    if this.observed.restart_wait is None:
        memory.budget.leave(key)
    if outcome.error is None:
        memory.failures.pop(key, None)
    else:
        memory.failures[key] += 1
    return next_time(outcome, memory.failures[key], context.now())


def _retry_time(key: ObjectKey, first: timedelta, memory: Memory, context: Context) -> datetime:
    """Record a failed pass without an outcome; return when the next one is due."""
    memory.failures[key] += 1
    return context.now() + pass_pause(first, memory.failures[key])


async def _report_unseen(key: ObjectKey, wait: Wait, memory: Memory, context: Context) -> None:
    version = context.cache.version_of(key)
    try:
        await report_unseen(key, wait, memory, context)
    except errors.NotLeading:
        raise
    except errors.Conflict:
        if context.cache.version_of(key) != version:
            context.queue.add(key)  # the event of the newer object is no news any more, so it wakes nothing
    except errors.ApiError as error:
        _log.warning("observation failed", secret=str(key), error=error)


async def _restart(step: steps.RollOut, this: Pass) -> bool:
    """Restart a workload; False if the restart budget of the cluster has no room, and the object waits for its turn.

    Raises:
        Conflict, NotLeading, Wait, Stalled: It was not restarted; it counts in the budget if that is uncertain.
    """
    key, observed, memory = this.key, this.of_case(Managed), this.memory
    deadline = observed.desired.progress_deadline
    workload, waits = step.consumer.workload.key, not observed.is_urgent
    place = memory.budget.take(key, workload, observed.now + deadline, waits=waits)
    if place is None:
        return False
    try:
        await _execute(step, this)
    except errors.Conflict:
        memory.budget.give_back(place)
        raise
    except (Wait, Stalled) as error:
        if concerns_one(error):
            memory.budget.give_back(place)
        raise
    memory.restarts.accept(key, workload)
    marked = read_marker(step.marker).get(observed.desired.secret)
    memory.restarted.record(key, observed.current.number, workload, Restarted(marked, this.context.now()))
    return True


async def _execute(step: steps.Step, this: Pass) -> None:
    """Execute a step, and map an API error to one with our own message."""
    name = step.action if isinstance(step, steps.Account) else type(step).__name__
    failpoints.reached("before", name)
    try:
        await execute_step(step, this)
    except (errors.Conflict, errors.NotLeading):
        raise
    except errors.ApiError as error:
        raise error_of_step(error, step, this.observed) from error
    failpoints.reached("after", name)
