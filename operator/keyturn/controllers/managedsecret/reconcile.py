"""Reconcile loop of ManagedSecret: observe, choose a step, execute it, report. Repeats until no step is left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from keyturn.controllers.emergency.reconcile import note_standing
from keyturn.core.backoff import backoff
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.store_reads import MAKING_VALUES, READING_STORES
from keyturn.core.rotation import steps
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.restart_backoff import denied_again
from keyturn.core.status.status import Outcome
from keyturn.kube import errors
from keyturn.runtime import failpoints, metrics
from keyturn.runtime.clock import loop_time

from .errors import PASSING, concerns_one, contended, denied, unexpected, unread
from .execute import take
from .observe import observe
from .report import report, report_unseen, tell_denied, tell_step

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.controllers.background import BackgroundWork
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed

__all__ = ["reconcile"]

_MAX_STEPS = 25
_CONFLICT_DELAY = timedelta(milliseconds=200)
_STALLED_INTERVAL = timedelta(minutes=1)
_MAX_RETRY_DELAY = timedelta(minutes=5)
_MAX_GENERATED_AGE = timedelta(minutes=10)
"""How long generated values are kept while the revision waits for something else, such as a signing CA."""
_RETRY_DELAY = timedelta(seconds=2)
_REPORT_DELAY = timedelta(seconds=1)
"""How long a read or generation runs before the status reports it."""

_log = structlog.get_logger()


async def reconcile(key: ObjectKey, context: Context) -> datetime | None:
    """Reconcile one ManagedSecret; return when it is due again.

    Idempotent: each step is one idempotent write, and depends on the observation alone.
    """
    if not (context.cache.is_large(key) or context.large.has_turn(key)):
        return await _run_pass(key, context)
    if not context.large.enter(key):
        return None
    try:
        return await _run_pass(key, context)
    finally:
        if not _is_reading(key, context):  # a read in progress has the object in memory
            context.large.leave(key)


def _is_reading(key: ObjectKey, context: Context) -> bool:
    """Whether a read of stores is in progress; its end wakes the object."""
    memory = context.memos.get(key)
    reading = memory.outside.reading if memory else None
    return reading is not None and not reading.task.done()


async def _run_pass(key: ObjectKey, context: Context) -> datetime | None:
    memory = context.memory(key)
    attempt = memory.attempts + 1
    try:
        with metrics.RECONCILE_SECONDS.time():
            return await _run_steps(key, context)
    except errors.NotLeading:
        raise  # this process must not write any more
    except errors.ApiError as error:
        _log.warning("observation failed", secret=str(key), error=error)
        return _retry_time(_RETRY_DELAY, context, key, attempt)
    except Wait as wait:
        await _report_unseen(key, wait, context)
        return _retry_time(wait.after, context, key, attempt)
    except Exception:
        await _report_unseen(key, unexpected(), context)
        raise  # the work queue logs it and retries
    finally:
        memory.forget_values()
        if not context.cache.has_managed(key):
            context.forget(key)


async def _run_steps(key: ObjectKey, context: Context) -> datetime | None:
    """Execute steps until none is left.

    Raises:
        ApiError: A read or a report failed for now.
        Wait: The observation failed.
    """
    conflicts, attempt = 0, context.memory(key).attempts + 1
    for _ in range(_MAX_STEPS):
        try:
            observed = await _observe(key, context)
            if observed is None:
                return None
            outcome = await _next_step(key, observed, context)
            if isinstance(outcome, Outcome):
                return await _end_pass(key, observed, outcome, context)
            if _yields(outcome, observed):
                return context.now()
        except errors.Conflict:
            # Another writer was faster: read again and decide again.
            context.memory(key).forget_values()
            conflicts += 1
    _log.warning("reconcile did not converge", secret=str(key), steps=_MAX_STEPS)
    if conflicts == _MAX_STEPS:
        await _report_unseen(key, contended(), context)
    return _retry_time(_CONFLICT_DELAY, context, key, attempt)


async def _end_pass(
    key: ObjectKey, observed: Observed, outcome: Outcome, context: Context
) -> datetime | None:
    """Report how a pass ended; return when the object is due again."""
    if not _keeps_generated(outcome, context.memory(key).outside, context.now()):
        context.memory(key).outside.forget_made()
    if later := _report_time(key, outcome, context):
        return later
    failpoints.reached("before", "Report")
    await report(key, observed, outcome, context)
    note_standing(key, observed, outcome.error, context)
    failpoints.reached("after", "Report")
    if outcome.error is None:
        context.memory(key).attempts = 0
    return _next_time(key, outcome, context)


def _keeps_generated(outcome: Outcome, outside: BackgroundWork, now: datetime) -> bool:
    """Whether generated values are kept, because the revision waits for something else.

    Store values are read again once a slow key is generated; without this the key would be lost each time.
    """
    match outcome.error:
        case Wait(reason=reason) if reason in {MAKING_VALUES, READING_STORES}:
            return True
        case Wait():  # such as the Secret with the signing CA
            return outside.making_since is not None and now - outside.making_since < _MAX_GENERATED_AGE
    return False


def _report_time(key: ObjectKey, outcome: Outcome, context: Context) -> datetime | None:
    """Return when to report that values are awaited, if that has just begun; usually they arrive before."""
    began = _waiting_since(outcome, context.memory(key).outside)
    if began is None:
        return None
    when = began + _REPORT_DELAY
    return when if began <= context.now() < when else None  # a clock may be set back


def _waiting_since(outcome: Outcome, outside: BackgroundWork) -> datetime | None:
    match outcome.error:
        case Wait(reason=reason) if reason == MAKING_VALUES:
            return outside.making_since
        case Wait(reason=reason) if reason == READING_STORES and outside.reading:
            return outside.reading_since
    return None


async def _observe(key: ObjectKey, context: Context) -> Observed | None:
    """Observe the object.

    Raises:
        ApiError: A read failed for now.
        Wait: A read is not permitted, or failed otherwise.
    """
    try:
        return await observe(key, context)
    except PASSING:
        raise
    except errors.ApiError as error:
        _log.warning("observation failed", secret=str(key), error=error)
        raise unread(error) from error


async def _report_unseen(key: ObjectKey, wait: Wait, context: Context) -> None:
    try:
        await report_unseen(key, wait, context)
    except errors.NotLeading:
        raise
    except errors.Conflict:
        pass  # the next observation sees the newer object
    except errors.ApiError as error:
        _log.warning("observation failed", secret=str(key), error=error)


async def _next_step(key: ObjectKey, observed: Observed, context: Context) -> Outcome | steps.Step:
    """Execute the next step; return the step, or the outcome of the pass if none is left."""
    step: steps.Step | None = None
    try:
        step = next_step(observed)
        if isinstance(step, steps.Rest):
            return _at_rest(step, key, context)
        began = loop_time()
        await _execute(step, key, observed, context)
    except (Wait, Stalled) as error:
        if isinstance(step, steps.RollOut | steps.DeletePod) and concerns_one(error):
            _record_denial(step, error, key, observed, context)
            return step
        memory = context.memory(key)
        memory.attempts += 1
        return Outcome(step, error, memory.attempts)
    tell_step(step, key, observed, loop_time() - began, context)
    return step


def _record_denial(
    step: steps.RollOut | steps.DeletePod,
    error: Wait | Stalled,
    key: ObjectKey,
    observed: Observed,
    context: Context,
) -> None:
    """Record a failed restart with its back-off, and continue with the other workloads."""
    memory, workload = context.memory(key), step.consumer.workload
    if observed.desired is None:
        return
    before = memory.denials.get(workload.key)
    now = denied_again(before, error, workload, observed, observed.desired)
    of_others = {other: one for other, one in memory.denials.items() if one.number == now.number}
    memory.denials = of_others | {workload.key: now}
    if before is None or (before.number, before.reason) != (now.number, now.reason):
        tell_denied(workload, error, key, observed, context)


def _at_rest(step: steps.Rest, key: ObjectKey, context: Context) -> Outcome:
    if step.problem is None:
        return Outcome(step)
    memory = context.memory(key)
    memory.attempts += 1
    return Outcome(step, step.problem, memory.attempts)


def _yields(done: steps.Step, observed: Observed) -> bool:
    """Whether the pass continues at the end of the work queue.

    If many secrets rotate at once, all are published before the first workload restarts, and all restarts are
    requested before the first is reported: a rollout of pods loads the API server for every tenant.
    """
    return isinstance(done, steps.RollOut) or (isinstance(done, steps.Publish) and bool(observed.consumers))


async def _execute(step: steps.Step, key: ObjectKey, observed: Observed, context: Context) -> None:
    """Execute a step, and map an API error to one with our own message."""
    name = type(step).__name__
    failpoints.reached("before", name)
    try:
        await take(step, key, observed, context)
    except (errors.Conflict, errors.NotLeading):
        raise
    except errors.ApiError as error:
        raise denied(error, step, observed) from error
    failpoints.reached("after", name)


def _next_time(key: ObjectKey, outcome: Outcome, context: Context) -> datetime | None:
    until = outcome.step.until if isinstance(outcome.step, steps.Rest) else None
    match outcome.error:
        case Wait(after=after):
            again = context.now() + backoff(after, context.memory(key).attempts, _MAX_RETRY_DELAY)
        case Stalled():
            again = context.now() + _STALLED_INTERVAL
        case None:
            return until
    return min(until, again) if until else again


def _retry_time(first: timedelta, context: Context, key: ObjectKey, attempt: int) -> datetime:
    context.memory(key).attempts = attempt
    return context.now() + backoff(first, attempt, _MAX_RETRY_DELAY)
