"""How one managed secret is brought to what its spec says: look, decide, do, tell, until there is nothing to do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from keyturn.controllers.emergency.reconcile import note_standing
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.store_reads import MAKING_VALUES, READING_STORES
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.restart_backoff import denied_again
from keyturn.core.rotation.steps import DeletePod, Publish, Rest, RollOut
from keyturn.core.status.status import Outcome
from keyturn.kube import errors
from keyturn.runtime import failpoints, metrics

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
    from keyturn.core.rotation.steps import Step

__all__ = ["reconcile"]

_MAX_STEPS = 25
_BREATHER = timedelta(milliseconds=200)
_LOOK_AGAIN = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(minutes=5)
_MADE_LASTS = timedelta(minutes=10)
"""How long a large key waits for what cannot be had now."""
_SOON = timedelta(seconds=2)
_PATIENCE = timedelta(seconds=1)
"""How long values are read or made before people are told of it."""

_log = structlog.get_logger()


async def reconcile(key: ObjectKey, context: Context) -> datetime | None:
    """Bring one managed secret to what its spec says, and return when to look again.

    Safe at any moment, any number of times: each step is one idempotent write, chosen from facts alone.
    """
    if not (context.cache.is_large(key) or context.large.has_turn(key)):
        return await _brought(key, context)
    if not context.large.enter(key):
        return None
    try:
        return await _brought(key, context)
    finally:
        if not _is_reading(key, context):  # which holds all that it reads for
            context.large.leave(key)


def _is_reading(key: ObjectKey, context: Context) -> bool:
    """Say whether stores are being read for it, whose end wakes it."""
    memory = context.memos.get(key)
    reading = memory.outside.reading if memory else None
    return reading is not None and not reading.task.done()


async def _brought(key: ObjectKey, context: Context) -> datetime | None:
    memory = context.memory(key)
    attempt = memory.attempts + 1
    try:
        with metrics.RECONCILE_SECONDS.time():
            return await _steps(key, context)
    except errors.NotLeading:
        raise  # nothing of ours is tried again
    except errors.ApiError as error:
        _log.warning("look failed", secret=str(key), error=error)
        return _after_failure(_SOON, context, key, attempt)
    except Wait as wait:
        await _tell_unseen(key, wait, context)
        return _after_failure(wait.after, context, key, attempt)
    except Exception:
        await _tell_unseen(key, unexpected(), context)
        raise  # the queue logs it, and has it repeated
    finally:
        memory.forget_values()
        if not context.cache.has_managed(key):
            context.forget(key)


async def _steps(key: ObjectKey, context: Context) -> datetime | None:
    """Take steps until there is none.

    Raises:
        ApiError: Something could not be read, or told, now.
        Wait: Nobody could look.
    """
    conflicts, attempt = 0, context.memory(key).attempts + 1
    for _ in range(_MAX_STEPS):
        try:
            observed = await _look(key, context)
            if observed is None:
                return None
            outcome = await _one_step(key, observed, context)
            if isinstance(outcome, Outcome):
                return await _ended(key, observed, outcome, context)
            if _lets_others_go_first(outcome, observed):
                return context.now()
        except errors.Conflict:
            # Somebody was faster: what was read is stale. Read again and decide again.
            context.memory(key).forget_values()
            conflicts += 1
    _log.warning("no rest found", secret=str(key), steps=_MAX_STEPS)
    if conflicts == _MAX_STEPS:
        await _tell_unseen(key, contended(), context)
    return _after_failure(_BREATHER, context, key, attempt)


async def _ended(key: ObjectKey, observed: Observed, outcome: Outcome, context: Context) -> datetime | None:
    """Tell how a pass ended, and return when to look again."""
    if not _keeps_made(outcome, context.memory(key).outside, context.now()):
        context.memory(key).outside.forget_made()
    if later := _told_later(key, outcome, context):
        return later
    failpoints.reached("before", "Report")
    await report(key, observed, outcome, context)
    note_standing(key, observed, outcome.error, context)
    failpoints.reached("after", "Report")
    if outcome.error is None:
        context.memory(key).attempts = 0
    return _look_again(key, outcome, context)


def _keeps_made(outcome: Outcome, outside: BackgroundWork, now: datetime) -> bool:
    """Say whether what was made of a revision is still asked for, while something else of it is awaited.

    The values of stores are read again once a large key is made: it would be lost each time where that takes a while.
    """
    match outcome.error:
        case Wait(reason=reason) if reason in {MAKING_VALUES, READING_STORES}:
            return True
        case Wait():  # such as for the Secret that signs
            return outside.making_since is not None and now - outside.making_since < _MADE_LASTS
    return False


def _told_later(key: ObjectKey, outcome: Outcome, context: Context) -> datetime | None:
    """Return when to tell that values are awaited, if that began just now: its end, which wakes, is near."""
    began = _awaited_since(outcome, context.memory(key).outside)
    if began is None:
        return None
    when = began + _PATIENCE
    return when if began <= context.now() < when else None  # clocks are set back, too


def _awaited_since(outcome: Outcome, outside: BackgroundWork) -> datetime | None:
    match outcome.error:
        case Wait(reason=reason) if reason == MAKING_VALUES:
            return outside.making_since
        case Wait(reason=reason) if reason == READING_STORES and outside.reading:
            return outside.reading_since
    return None


async def _look(key: ObjectKey, context: Context) -> Observed | None:
    """Look at everything.

    Raises:
        ApiError: Something could not be read now.
        Wait: Something may not be read.
    """
    try:
        return await observe(key, context)
    except PASSING:
        raise
    except errors.ApiError as error:
        _log.warning("look failed", secret=str(key), error=error)
        raise unread(error) from error


async def _tell_unseen(key: ObjectKey, wait: Wait, context: Context) -> None:
    try:
        await report_unseen(key, wait, context)
    except errors.NotLeading:
        raise
    except errors.Conflict:
        pass  # the next look finds what has changed
    except errors.ApiError as error:
        _log.warning("look failed", secret=str(key), error=error)


async def _one_step(key: ObjectKey, observed: Observed, context: Context) -> Outcome | Step:
    """Take the next step; return how the pass ends, or the step that was done."""
    step: Step | None = None
    try:
        step = next_step(observed)
        if isinstance(step, Rest):
            return _at_rest(step, key, context)
        began = asyncio.get_running_loop().time()
        await _taken(step, key, observed, context)
    except (Wait, Stalled) as error:
        if isinstance(step, RollOut | DeletePod) and concerns_one(error):
            _pass_over(step, error, key, observed, context)
            return step
        memory = context.memory(key)
        memory.attempts += 1
        return Outcome(step, error, memory.attempts)
    tell_step(step, key, observed, asyncio.get_running_loop().time() - began, context)
    return step


def _pass_over(
    step: RollOut | DeletePod, error: Wait | Stalled, key: ObjectKey, observed: Observed, context: Context
) -> None:
    """Remember that nothing may be done to a workload now, and go on with the others."""
    memory, workload = context.memory(key), step.consumer.workload
    if observed.desired is None:
        return
    before = memory.denials.get(workload.key)
    now = denied_again(before, error, workload, observed, observed.desired)
    of_others = {other: one for other, one in memory.denials.items() if one.number == now.number}
    memory.denials = of_others | {workload.key: now}
    if before is None or (before.number, before.reason) != (now.number, now.reason):
        tell_denied(workload, error, key, observed, context)


def _at_rest(step: Rest, key: ObjectKey, context: Context) -> Outcome:
    if step.problem is None:
        return Outcome(step)
    memory = context.memory(key)
    memory.attempts += 1
    return Outcome(step, step.problem, memory.attempts)


def _lets_others_go_first(done: Step, observed: Observed) -> bool:
    """Say whether the pass goes on at the end of the queue.

    Where many secrets turn at once, all are published before the first workload rolls, and all restarts are asked
    for before the first of them is told: rolling pods take the API server's time from everybody.
    """
    return isinstance(done, RollOut) or (isinstance(done, Publish) and bool(observed.consumers))


async def _taken(step: Step, key: ObjectKey, observed: Observed, context: Context) -> None:
    """Take a step, and say in our words what the API server's refusal means."""
    name = type(step).__name__
    failpoints.reached("before", name)
    try:
        await take(step, key, observed, context)
    except (errors.Conflict, errors.NotLeading):
        raise
    except errors.ApiError as error:
        raise denied(error, step, observed) from error
    failpoints.reached("after", name)


def _look_again(key: ObjectKey, outcome: Outcome, context: Context) -> datetime | None:
    until = outcome.step.until if isinstance(outcome.step, Rest) else None
    match outcome.error:
        case Wait(after=after):
            again = context.now() + _backoff(after, context, key)
        case Stalled():
            again = context.now() + _LOOK_AGAIN
        case None:
            return until
    return min(until, again) if until else again


def _after_failure(first: timedelta, context: Context, key: ObjectKey, attempt: int) -> datetime:
    context.memory(key).attempts = attempt
    return context.now() + _backoff(first, context, key)


def _backoff(first: timedelta, context: Context, key: ObjectKey) -> timedelta:
    """Return the pause after the last failed attempt: the first one at first, then twice as long each time."""
    return min(first * 2.0 ** min(max(context.memory(key).attempts - 1, 0), 10), _LONGEST_WAIT)
