"""How each step is done: at most one write, which a second run finds done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from keyturn.core.rotation.markers import next_marker
from keyturn.core.rotation.steps import (
    Adopt,
    Begin,
    Bind,
    Borrow,
    Claim,
    Decline,
    DeletePod,
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
from keyturn.core.rotation.stuck_pods import is_deletable
from keyturn.core.state.state import state_name
from keyturn.core.status.status import Outcome, status_of
from keyturn.kube import errors, paths
from keyturn.kube.pods import delete_pod
from keyturn.kube.workloads import restart, workload_of

from .consumers import consumer_of
from .generate import staged
from .leases import given_back
from .observe import load_state
from .push import finalized, pushed, withdrawn
from .write import known, release, wanted_of, write_state, write_target
from .write_status import write_status

if TYPE_CHECKING:
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation.steps import OutsideStep, Step
    from keyturn.core.state.state import State

from keyturn.core.rotation.transitions import refreshed, with_decision

from .adoption import adopted, claimed

__all__ = ["take"]


async def take(  # noqa: C901, PLR0912  # a line for each step there is
    step: Step, key: ObjectKey, seen: Observed, world: Context
) -> None:
    """Do one step.

    Raises:
        ApiError: It could not be done; what was there before is still there.
    """
    match step:
        case Begin():
            await write_status(key, seen.managed, status_of(seen, Outcome(step)), world)
        case Claim():
            await write_state(key, await claimed(step, key, seen, wanted_of(seen), world), seen, world)
        case Adopt():
            state = await _state_as_seen(key, seen, world)
            await write_state(key, await adopted(step, key, seen, wanted_of(seen), state, world), seen, world)
        case Bind():
            await write_state(key, known(await load_state(key, world), key), seen, world)
        case Release(secret=secret):
            await release(replace(key, name=secret), world)
        case Stage():
            state = await _state_as_seen(key, seen, world)
            await write_state(key, await staged(step, key, seen, wanted_of(seen), state, world), seen, world)
        case GoBack() | Overlap() | Expire() | Decline():
            state = known(await _state_as_seen(key, seen, world), key)
            await write_state(key, with_decision(step, seen, state, world.now()), seen, world)
        case Publish() | Repair() | Revoke():
            await write_target(step, key, seen, world)
        case RollOut():
            await _roll(step, seen, world)
        case DeletePod():
            await _delete_pod(step, wanted_of(seen).secret, world)
        case Refresh() | Finalize() | Intend() | Push() | Withdraw() | Borrow() | GiveBack():
            await _take_outside(step, key, seen, world)
        case Rest():
            pass
        case _:
            assert_never(step)


# The state Secret


async def _state_as_seen(key: ObjectKey, seen: Observed, world: Context) -> State | None:
    """Read the state that the step was chosen from.

    Raises:
        Conflict: It is another one by now: an earlier try of ours was done, though its answer was lost.
    """
    state = await load_state(key, world) if seen.state else None
    if (state.facts() if state else None) != seen.state:
        raise errors.Conflict("get", paths.secret(key.namespace, state_name(key.name)), 0, "Changed")
    return state


async def _take_outside(step: OutsideStep, key: ObjectKey, seen: Observed, world: Context) -> None:
    """Do something in a store, or for it, and record it; what kept it from being done is remembered."""
    if isinstance(step, Finalize):
        await finalized(step, key, seen, world)
        return
    state = known(await _state_as_seen(key, seen, world), key)
    match step:
        case Refresh():
            after: State | None = refreshed(state, seen, world.now())
        case Intend(record=record):
            world.memo(key).outside.forget_push(record.place)  # it is another thing that is tried now
            after = state.with_pushed(record)
        case Push():
            after = await pushed(step, key, state, world)
        case Withdraw():
            after = await withdrawn(step, key, state, world)
        case Borrow(loans=loans):
            after = state.with_loans(loans)
        case GiveBack():
            after = await given_back(step, key, state, world)
        case _:
            assert_never(step)
    if after is not None:
        await write_state(key, after, seen, world)


# The workloads


async def _roll(step: RollOut, seen: Observed, world: Context) -> None:
    """Restart a workload, one Secret at a time: two of them at once would each undo the other's marker."""
    workload_key = step.consumer.workload.key
    async with world.rolling(workload_key):
        workload = world.mirror.workload(workload_key)
        if workload is None or seen.current is None:
            return
        wanted = wanted_of(seen)
        found = consumer_of(workload, wanted.secret, world.mirror, world.now())
        marker = next_marker(replace(found, pods=step.consumer.pods), seen, wanted)
        if marker != workload.marker:
            body = await restart(world.api, workload, marker)
            if world.mirror.is_news(workload_key, body):
                world.mirror.put_workload(workload_of(workload_key.kind, body))


async def _delete_pod(step: DeletePod, secret: str, world: Context) -> None:
    """Delete a pod that its StatefulSet does not replace, if that StatefulSet is as it was when this was decided."""
    key = step.consumer.workload.key
    world.pods.forget(key)  # whatever comes of it, the next look is at other pods
    try:
        body = await world.api.get(paths.workload(key.kind, key.namespace, key.name))
    except errors.NotFound:
        return
    if is_deletable(step.pod, workload_of(key.kind, body), secret, step.withdrawn):
        await delete_pod(world.api, key.namespace, step.pod)
