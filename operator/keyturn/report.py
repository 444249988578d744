"""What people and machines are told of a pass: status, events, metrics and a log line, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from . import metrics
from .api.status import WorkloadState
from .core.conditions import NOTHING_TO_ROTATE, nothing_to_rotate
from .core.errors import Stalled
from .core.policy import denies, named
from .core.renewal import CREATED
from .core.status import SUCCEEDED, Outcome, status_of
from .core.steps import (
    Adopt,
    Begin,
    Bind,
    Borrow,
    Claim,
    Decline,
    Expire,
    Finalize,
    GiveBack,
    GoBack,
    Intend,
    Overlap,
    Publish,
    Push,
    Refresh,
    Release,
    Repair,
    Rest,
    Revoke,
    RollOut,
    Stage,
    Withdraw,
)
from .kube.events import EventType, ObjectRef
from .statuses import write_status

if TYPE_CHECKING:
    from .api.status import HistoryEntry, ManagedSecretStatus
    from .core.keys import ObjectKey
    from .core.seen import Seen
    from .core.steps import OutsideStep, Step
    from .core.workload import Workload
    from .world import World

__all__ = ["report", "tell_step"]

_NO_TROUBLE = frozenset({"ReadingStores", "Pushing"})
"""What keeps a pass from its end as long as a store takes for it."""

_log = structlog.get_logger()


def tell_step(  # noqa: C901, PLR0912  # a line for each step there is
    step: Step, key: ObjectKey, seen: Seen, seconds: float, world: World
) -> None:
    """Tell what was just done."""
    name = type(step).__name__
    metrics.ROTATION_STEP_SECONDS.labels(name).observe(seconds)
    match step:
        case Begin(number=number, reason=reason) | Stage(number=number, reason=reason):
            _log.info("step done", step=name, secret=str(key), revision=number, reason=reason.name)
        case Claim(number=number) | Adopt(number=number):
            _post(seen, world, "Claimed", f"the Secret's values are kept as revision {number}")
            _log.info("step done", step=name, secret=str(key), revision=number)
        case Publish(number=number):
            was_there = seen.managed.status.revision is not None
            is_first = seen.current is not None and seen.current.reason == CREATED and not was_there
            _post(seen, world, "Created" if is_first else "Published", f"revision {number} is in the Secret")
            _log.info("step done", step=name, secret=str(key), revision=number)
        case Repair(number=number, keys=keys):
            metrics.DRIFT_REPAIRED.inc()
            _post(seen, world, "DriftRepaired", _what_was_repaired(number, keys))
            _log.warning("drift repaired", secret=str(key), revision=number, keys=sorted(keys))
        case GoBack():
            _tell_return(step, key, seen, world)
        case RollOut(consumer=consumer):
            _tell_restart(consumer.workload, key, seen, world)
        case Revoke(number=number):
            _post(seen, world, "Revoked", f"the values before revision {number} are out of the Secret")
            _log.info("step done", step=name, secret=str(key), revision=number)
        case Decline():
            if seen.wanted:
                _post(seen, world, NOTHING_TO_ROTATE, nothing_to_rotate(seen.wanted), EventType.WARNING)
            _log.info("step done", step=name, secret=str(key))
        case Overlap(number=number) | Expire(number=number):
            _log.info("step done", step=name, secret=str(key), revision=number)
        case Release(secret=secret):
            _post(
                seen,
                world,
                "Released",
                f"the Secret {secret!r} is nobody's any more; delete it when nothing reads it",
            )
            _log.info("step done", step=name, secret=str(key), released=secret)
        case Bind():
            _log.info("step done", step=name, secret=str(key))
        case Refresh() | Finalize() | Intend() | Push() | Withdraw() | Borrow() | GiveBack():
            _tell_of_outside(step, key, seen, world)
        case Rest():
            pass


def _tell_of_outside(step: OutsideStep, key: ObjectKey, seen: Seen, world: World) -> None:
    """Tell of a write into a store; one that goes on is told of at its end."""
    name = type(step).__name__
    problem = None
    if isinstance(step, Push | Withdraw):
        problem = world.memo(key).outside.push_problems.get(step.destination.id)
    if problem is not None:
        if problem.error.reason != "Pushing":
            _log.warning("push failed", step=name, secret=str(key), message=problem.error.message)
        return
    if isinstance(step, GiveBack) and step.loan.id in world.memo(key).outside.returns:
        return
    match step:
        case GiveBack(loan=loan):
            _post(seen, world, "GivenBack", f"what {loan.where} had lent before is given back")
        case Push(destination=destination, number=number):
            _post(seen, world, "Pushed", f"{destination} has revision {number}")
        case Withdraw(destination=destination, deletes=True):
            _post(seen, world, "Withdrawn", f"{destination} is deleted")
    _log.info("step done", step=name, secret=str(key))


def _what_was_repaired(number: int, keys: frozenset[str]) -> str:
    what = ", ".join(sorted(keys)) or "its labels and annotations"
    return f"the Secret was edited or deleted; put back as revision {number}: {what}"


def _tell_return(step: GoBack, key: ObjectKey, seen: Seen, world: World) -> None:
    metrics.ROLLBACKS.inc()
    why = "workloads did not get ready" if step.failed else "it was asked for"
    note = f"revision {step.number} comes back in place of {step.given_up}: {why}"
    _post(seen, world, "RolledBack", note, EventType.WARNING if step.failed else EventType.NORMAL)
    _log.warning(
        "rolled back", secret=str(key), revision=step.number, given_up=step.given_up, failed=step.failed
    )


def _tell_restart(workload: Workload, key: ObjectKey, seen: Seen, world: World) -> None:
    metrics.WORKLOAD_RESTARTS.labels(workload.key.kind, "started").inc()
    number = seen.current.number if seen.current else 0
    world.events.post(
        ObjectRef("apps/v1", workload.key.kind, workload.key.namespace, workload.key.name, workload.uid),
        "Restarted",
        f"its pods are made anew for revision {number} of the Secret of ManagedSecret {key.name}",
    )
    _log.info("workload restarted", secret=str(key), revision=number, workload=str(workload.key))


async def report(key: ObjectKey, seen: Seen, outcome: Outcome, world: World) -> None:
    """Write the status if it changed, and tell what a change means.

    Raises:
        ApiError: The status could not be written; nothing was told.
    """
    before, after = seen.managed.status, status_of(seen, outcome)
    await write_status(key, seen, after, world)
    _tell_trouble(key, seen, outcome, before, world)
    _tell_warning(key, seen, before, world)
    _tell_failed_rollout(key, seen, before, after, world)
    if before.revision is None:
        return  # a ManagedSecret that was made again: what its Secret went through is no news
    known = {entry.revision for entry in before.history}
    for entry in after.history:
        if entry.revision not in known:
            _tell_end(key, seen, entry, world)


def _tell_trouble(
    key: ObjectKey, seen: Seen, outcome: Outcome, before: ManagedSecretStatus, world: World
) -> None:
    error = outcome.error
    if error is None or error.reason in _NO_TROUBLE:
        return
    is_known = any(one.reason == error.reason and one.message == error.message for one in before.conditions)
    if is_known:
        return
    if error.reason != "ApiServerUnavailable":  # which could not take the event either
        _post(seen, world, error.reason, error.message, EventType.WARNING)
    if isinstance(error, Stalled):
        _log.warning("stalled", secret=str(key), reason=error.reason, message=error.message)
    else:
        _log.warning("waiting", secret=str(key), reason=error.reason, message=error.message)


def _tell_warning(key: ObjectKey, seen: Seen, before: ManagedSecretStatus, world: World) -> None:
    """Tell of the rules that are broken where the class only warns; where it denies, that is a trouble."""
    text = named(seen.violations)
    if not text or denies(seen.secret_class) or any(one.message == text for one in before.conditions):
        return
    _post(seen, world, "PolicyViolation", text, EventType.WARNING)
    _log.warning("policy violated", secret=str(key), message=text)


def _tell_failed_rollout(
    key: ObjectKey, seen: Seen, before: ManagedSecretStatus, after: ManagedSecretStatus, world: World
) -> None:
    failed = _failed(after) - _failed(before)
    if not failed or seen.current is None:
        return
    metrics.ROTATIONS.labels(seen.current.reason, "Failed").inc()
    names = ", ".join(sorted(failed))
    _post(seen, world, "RotationFailed", f"not available with the new revision: {names}", EventType.WARNING)
    _log.warning("rollout failed", secret=str(key), revision=seen.current.number, workloads=names)


def _failed(status: ManagedSecretStatus) -> set[str]:
    return {f"{one.kind}/{one.name}" for one in status.workloads if one.state is WorkloadState.FAILED}


def _tell_end(key: ObjectKey, seen: Seen, entry: HistoryEntry, world: World) -> None:
    metrics.ROTATIONS.labels(entry.reason, entry.result).inc()
    if entry.result == SUCCEEDED:
        _post(seen, world, "Rotated", f"every workload runs revision {entry.revision} ({entry.reason})")
    _log.info(
        "rotation ended", secret=str(key), revision=entry.revision, reason=entry.reason, result=entry.result
    )


def _post(seen: Seen, world: World, reason: str, note: str, type_: EventType = EventType.NORMAL) -> None:
    metadata = seen.managed.metadata
    regarding = ObjectRef(
        "keyturn.dev/v1alpha1", "ManagedSecret", metadata.namespace, metadata.name, metadata.uid
    )
    world.events.post(regarding, reason, note, type_)
