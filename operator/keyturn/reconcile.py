"""How one managed secret is brought to what its spec says: look, decide, do, tell, until there is nothing to do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from . import failpoints, metrics
from .core.decision import next_step
from .core.errors import Stalled, Wait
from .core.state import state_name
from .core.status import Outcome
from .core.steps import (
    Begin,
    Finalize,
    Publish,
    Release,
    Repair,
    Rest,
    Revoke,
    RollOut,
)
from .core.wanted import secret_of
from .emergencies import note_standing
from .kube import errors
from .observe import observe
from .report import report, tell_step
from .take import take

if TYPE_CHECKING:
    from datetime import datetime

    from .core.keys import ObjectKey
    from .core.seen import Seen
    from .core.steps import Step
    from .world import World

__all__ = ["reconcile"]

_MAX_STEPS = 25
_BREATHER = timedelta(milliseconds=200)
_LOOK_AGAIN = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(minutes=5)
_SOON = timedelta(seconds=2)

_log = structlog.get_logger()


async def reconcile(key: ObjectKey, world: World) -> datetime | None:
    """Bring one managed secret to what its spec says, and return when to look again.

    Safe at any moment, any number of times: each step is one idempotent write, chosen from facts alone.
    """
    memo = world.memo(key)
    try:
        with metrics.RECONCILE_SECONDS.time():
            return await _steps(key, world)
    finally:
        memo.forget_values()
        if not world.mirror.has_managed(key):
            world.forget(key)


async def _steps(key: ObjectKey, world: World) -> datetime | None:
    for _ in range(_MAX_STEPS):
        try:
            seen = await observe(key, world)
            if seen is None:
                return None
            outcome = await _one_step(key, seen, world)
            if not isinstance(outcome, Outcome):
                if _lets_others_go_first(outcome, seen):
                    return world.now()
                continue
            failpoints.reached("before", "Report")
            await report(key, seen, outcome, world)
            note_standing(key, seen, outcome.error, world)
            failpoints.reached("after", "Report")
        except errors.Conflict:
            # Somebody was faster: what was read is stale. Read again and decide again.
            world.memo(key).forget_values()
            continue
        except errors.NotLeading:
            raise  # nothing of ours is tried again
        except errors.ApiError as error:
            _log.warning("look failed", secret=str(key), error=error)
            return _after_failure(_SOON, world, key)
        if outcome.error is None:
            world.memo(key).attempts = 0
        return _look_again(key, outcome, world)
    _log.warning("no rest found", secret=str(key), steps=_MAX_STEPS)
    return _after_failure(_BREATHER, world, key)


async def _one_step(key: ObjectKey, seen: Seen, world: World) -> Outcome | Step:
    """Take the next step; return how the pass ends, or the step that was done."""
    step: Step | None = None
    try:
        step = next_step(seen)
        if isinstance(step, Rest):
            return _at_rest(step, key, world)
        began = asyncio.get_running_loop().time()
        await _taken(step, key, seen, world)
    except (Wait, Stalled) as error:
        memo = world.memo(key)
        memo.attempts += 1
        return Outcome(step, error, memo.attempts)
    tell_step(step, key, seen, asyncio.get_running_loop().time() - began, world)
    return step


def _at_rest(step: Rest, key: ObjectKey, world: World) -> Outcome:
    if step.problem is None:
        return Outcome(step)
    memo = world.memo(key)
    memo.attempts += 1
    return Outcome(step, step.problem, memo.attempts)


def _lets_others_go_first(done: Step, seen: Seen) -> bool:
    """Say whether the pass goes on at the end of the queue.

    Where many secrets turn at once, all are published before the first workload rolls, and all restarts are asked
    for before the first of them is told: rolling pods take the API server's time from everybody.
    """
    return isinstance(done, RollOut) or (isinstance(done, Publish) and bool(seen.consumers))


async def _taken(step: Step, key: ObjectKey, seen: Seen, world: World) -> None:
    """Take a step, and say in our words what the API server's refusal means."""
    name, what = type(step).__name__, _what(step, seen)
    failpoints.reached("before", name)
    try:
        await take(step, key, seen, world)
    except errors.Invalid as error:
        raise Stalled(
            "Refused",
            f"the API server refused to {error.verb} {what} as invalid; write the values that its type asks for,"
            " or, if it is immutable or of another type, delete it: it is made again with the same values",
        ) from error
    except errors.Forbidden as error:
        raise Wait(
            "Forbidden",
            f"the API server forbids to {error.verb} {what}; look at the namespace's quota and admission"
            " policies and at the operator's rights",
            timedelta(seconds=15),
        ) from error
    except errors.NotFound as error:
        raise Wait("NotFound", f"{what} is gone", timedelta(seconds=5)) from error
    except (errors.Throttled, errors.Unavailable) as error:
        raise Wait("ApiServerUnavailable", "the API server does not answer", _SOON) from error
    failpoints.reached("after", name)


def _what(step: Step, seen: Seen) -> str:
    """Name what a step writes."""
    match step:
        case Finalize():
            return "the finalizers of the ManagedSecret"
        case Publish() | Repair() | Revoke():
            return f"the Secret {secret_of(seen.managed)!r}"
        case Release(secret=secret):
            return f"the Secret {secret!r}"
        case RollOut(consumer=consumer):
            return str(consumer.workload.key)
        case Begin() | Rest():
            return "the status"
        case _:
            return f"the Secret {state_name(seen.name)!r}"


def _look_again(key: ObjectKey, outcome: Outcome, world: World) -> datetime | None:
    until = outcome.step.until if isinstance(outcome.step, Rest) else None
    match outcome.error:
        case Wait(after=after):
            again = world.now() + _backoff(after, world, key)
        case Stalled():
            again = world.now() + _LOOK_AGAIN
        case None:
            return until
    return min(until, again) if until else again


def _after_failure(first: timedelta, world: World, key: ObjectKey) -> datetime:
    world.memo(key).attempts += 1
    return world.now() + _backoff(first, world, key)


def _backoff(first: timedelta, world: World, key: ObjectKey) -> timedelta:
    """Return the pause after the last failed attempt: the first one at first, then twice as long each time."""
    return min(first * 2.0 ** min(max(world.memo(key).attempts - 1, 0), 10), _LONGEST_WAIT)
