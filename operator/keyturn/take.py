"""How each step is done: at most one write, which a second run finds done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from .borrowing import given_back
from .core.errors import Stalled
from .core.pushes import binder_of
from .core.rollout import marker_for
from .core.state import State, state_name
from .core.status import Outcome, status_of
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
from .kube import errors, paths
from .kube.secrets import LARGEST, Stamp, dressed_target, owner_of, released_target, size_of
from .kube.secretwatch import meta_of
from .kube.statesecret import state_body
from .kube.workloads import restart, workload_of
from .observe import agree_now, load_state, load_target
from .pushing import finalized, pushed, withdrawn
from .stage import staged
from .statuses import write_status
from .users import consumer_of
from .world import Published, Writing

if TYPE_CHECKING:
    from datetime import datetime

    from .core.keys import ObjectKey
    from .core.seen import Seen
    from .core.steps import OutsideStep, Step
    from .core.wanted import Wanted
    from .kube.client import Body
    from .kube.secretwatch import SecretMeta
    from .world import World

from .claims import adopted, claimed
from .recorded import refreshed, with_decision

__all__ = ["take"]


async def take(  # noqa: C901, PLR0912  # a line for each step there is
    step: Step, key: ObjectKey, seen: Seen, world: World
) -> None:
    """Do one step.

    Raises:
        ApiError: It could not be done; what was there before is still there.
    """
    match step:
        case Begin():
            await write_status(key, seen, status_of(seen, Outcome(step)), world)
        case Claim():
            await _write_state(key, await claimed(step, key, seen, _wanted(seen), world), seen, world)
        case Adopt():
            state = await _state_as_seen(key, seen, world)
            await _write_state(key, await adopted(step, key, seen, _wanted(seen), state, world), seen, world)
        case Bind():
            await _write_state(key, _known(await load_state(key, world), key), seen, world)
        case Release(secret=secret):
            await _release(replace(key, name=secret), world)
        case Stage():
            state = await _state_as_seen(key, seen, world)
            await _write_state(key, await staged(step, key, seen, _wanted(seen), state, world), seen, world)
        case GoBack() | Overlap() | Expire() | Decline():
            state = _known(await _state_as_seen(key, seen, world), key)
            await _write_state(key, with_decision(step, seen, state, world), seen, world)
        case Publish():
            await _publish(step, key, seen, world)
        case Repair() | Revoke():
            await _write_target(key, seen, world, _first_published(seen))
        case RollOut():
            await _roll(step, seen, world)
        case Refresh() | Finalize() | Intend() | Push() | Withdraw() | Borrow() | GiveBack():
            await _take_outside(step, key, seen, world)
        case Rest():
            pass
        case _:
            assert_never(step)


# The state Secret


async def _state_as_seen(key: ObjectKey, seen: Seen, world: World) -> State | None:
    """Read the state that the step was chosen from.

    Raises:
        Conflict: It is another one by now: an earlier try of ours was done, though its answer was lost.
    """
    state = await load_state(key, world) if seen.state else None
    if (state.facts() if state else None) != seen.state:
        raise errors.Conflict("get", paths.secret(key.namespace, state_name(key.name)), 0, "Changed")
    return state


def _known(state: State | None, key: ObjectKey) -> State:
    if state is None:
        raise errors.Conflict("get", paths.secret(key.namespace, state_name(key.name)), 0, "Deleted")
    return state


async def _take_outside(step: OutsideStep, key: ObjectKey, seen: Seen, world: World) -> None:
    """Do something in a store, or for it, and record it; what kept it from being done is remembered."""
    if isinstance(step, Finalize):
        await finalized(step, key, seen, world)
        return
    state = _known(await _state_as_seen(key, seen, world), key)
    match step:
        case Refresh():
            after: State | None = refreshed(state, seen, world)
        case Intend(record=record):
            world.memo(key).outside.forget_push(record.place)  # it is another thing that is tried now
            after = state.with_pushed(record)
        case Push():
            after = await pushed(step, key, _wanted(seen), state, world)
        case Withdraw():
            after = await withdrawn(step, key, state, world)
        case Borrow(loans=loans):
            after = state.with_loans(loans)
        case GiveBack():
            after = await given_back(step, key, state, world)
        case _:
            assert_never(step)
    if after is not None:
        await _write_state(key, after, seen, world)


async def _write_state(key: ObjectKey, state: State, seen: Seen, world: World) -> None:
    memo = world.memo(key)
    known = world.mirror.secret(key.namespace, state_name(key.name))
    binder = binder_of(seen, seen.wanted, state) if seen.wanted else ""
    state, body = _fitting(key, state, known.resource_version if known else None, binder)
    written = await _write_secret(key, body, world)
    meta = meta_of(written)
    memo.state, memo.state_version = state, meta.resource_version
    memo.state_facts, memo.checked = state.facts(), None
    world.mirror.put_secret(meta)


def _fitting(key: ObjectKey, state: State, version: str | None, binder: str = "") -> tuple[State, Body]:
    """Drop what is old until the state fits into a Secret: to be able to go on is worth more than to go back."""
    body = state_body(key, state, version, binder)
    while size_of(body) > LARGEST:
        state = _shortened(state)
        body = state_body(key, state, version, binder)
    return state, body


def _shortened(state: State) -> State:
    if state.older:
        return replace(state, older=state.older[: len(state.older) // 2])
    if shorter := state.without_oldest():
        return shorter
    raise _too_large()


def _too_large() -> Stalled:
    return Stalled(
        "TooLarge",
        f"the values take more than the {LARGEST // 1024} KiB that a Secret holds with its record;"
        " spread them over several ManagedSecrets",
    )


# The target Secret


async def _publish(step: Publish, key: ObjectKey, seen: Seen, world: World) -> None:
    meta = await _write_target(key, seen, world, _newly_published(step, seen, world))
    world.memo(key).published = Published(step.number, int(meta.resource_version))


async def _write_target(key: ObjectKey, seen: Seen, world: World, published: datetime) -> SecretMeta:
    wanted = _wanted(seen)
    state = _known(await load_state(key, world), key)
    found = await load_target(key, wanted.secret, world) if seen.target else None
    facts = state.current.facts
    stamp = Stamp(facts.number, published, facts.overlaps, seen.uid if wanted.shape.deletes else "")
    body = dressed_target(key, wanted, state, stamp, found)
    if size_of(body) > LARGEST:
        raise _too_large()
    written = await _write_secret(key, body, world)
    meta = meta_of(written)
    world.memo(key).target = written
    world.mirror.put_secret(meta)
    agree_now(key, seen, world)
    return meta


async def _release(key: ObjectKey, world: World) -> None:
    """Take our label off a Secret under an old name, of which the watch then tells nothing more."""
    try:
        found = await world.api.get(paths.secret(key.namespace, key.name))
        if owner_of(found):
            await world.api.replace(paths.secret(key.namespace, key.name), released_target(found))
    except errors.NotFound:
        pass  # somebody has deleted it
    world.mirror.drop_secret(key)


def _newly_published(step: Publish, seen: Seen, world: World) -> datetime:
    """A Secret under a new name carries what is published already: it came with the revision."""
    is_renamed = seen.target is None and seen.managed.status.revision == step.number
    return _first_published(seen) if is_renamed else world.now()


def _first_published(seen: Seen) -> datetime:
    """A repair publishes nothing new: who started after the revision came still runs it."""
    if seen.target and seen.target.published:
        return seen.target.published
    return seen.current.made if seen.current else seen.now


async def _write_secret(key: ObjectKey, body: Body, world: World) -> Body:
    """Write a Secret, and look again at once only if the watch told of another write of it meanwhile.

    Raises:
        Conflict: It is not as it was when it was read.
    """
    memo = world.memo(key)
    writing = memo.writing = Writing(body["metadata"]["name"])
    ours: set[str] = set()
    try:
        written = await _put_secret(key, body, world)
        ours.add(meta_of(written).resource_version)
    finally:
        memo.writing = None
        if writing.seen - ours:
            world.wake(key)
    return written


async def _put_secret(key: ObjectKey, body: Body, world: World) -> Body:
    """Put a Secret over the version that was read, or make a new one."""
    name = body["metadata"]["name"]
    if "resourceVersion" in body["metadata"]:
        try:
            return await world.api.replace(paths.secret(key.namespace, name), body)
        except errors.NotFound as error:
            world.mirror.drop_secret(replace(key, name=name))
            raise errors.Conflict(error.verb, error.path, error.status, error.reason) from None
    try:
        return await world.api.create(paths.secrets(key.namespace), body)
    except errors.AlreadyExists as error:
        world.memo(key).foreign.add(name)
        raise errors.Conflict(error.verb, error.path, error.status, error.reason) from None


# The workloads


async def _roll(step: RollOut, seen: Seen, world: World) -> None:
    """Restart a workload, one Secret at a time: two of them at once would each undo the other's marker."""
    workload_key = step.consumer.workload.key
    async with world.rolling(workload_key):
        workload = world.mirror.workload(workload_key)
        if workload is None or seen.current is None:
            return
        secret = _wanted(seen).secret
        consumer = consumer_of(workload, secret, world.mirror, world.now())
        marker = marker_for(consumer, secret, seen.current.number)
        if marker != workload.marker:
            body = await restart(world.api, workload, marker)
            if world.mirror.is_news(workload_key, body):
                world.mirror.put_workload(workload_of(workload_key.kind, body))


def _wanted(seen: Seen) -> Wanted:
    if seen.wanted is None:
        raise Stalled("InvalidSpec", "the spec cannot be followed")
    return seen.wanted
