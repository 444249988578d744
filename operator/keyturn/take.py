"""How each step is done: at most one write, which a second run finds done."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from .core.errors import Stalled
from .core.renewal import CREATED
from .core.rollout import marker_for
from .core.state import LITERAL, Kept, Revision, RevisionFacts, State, Triggers, changed_names
from .core.status import Outcome, status_of
from .core.steps import Begin, Claim, Publish, Repair, Rest, RollOut, Stage
from .kube import errors, paths
from .kube.secrets import LARGEST, Stamp, dressed_target, size_of, state_body, state_name, values_of
from .kube.secretwatch import meta_of
from .kube.workloads import restart, workload_of
from .observe import agree_now, consumer_of, load_state, load_target
from .statuses import write_status
from .world import generator_for

if TYPE_CHECKING:
    from .core.keys import ObjectKey
    from .core.seen import Seen
    from .core.steps import Step
    from .core.value import Value
    from .core.wanted import Item, Wanted
    from .kube.client import Body
    from .world import World

__all__ = ["take"]

CLAIMED = "Claimed"


async def take(step: Step, key: ObjectKey, seen: Seen, world: World) -> None:
    """Do one step.

    Raises:
        ApiError: It could not be done; what was there before is still there.
    """
    match step:
        case Begin():
            await write_status(key, seen, status_of(seen, Outcome(step)), world)
        case Claim():
            await _write_state(key, await _claimed(step, key, seen, world), world)
        case Stage():
            await _write_state(key, await _staged(step, key, seen, world), world)
        case Publish():
            await _write_target(key, seen, world, _newly_published(step, seen, world))
        case Repair():
            await _write_target(key, seen, world, _first_published(seen))
        case RollOut():
            await _roll(step, seen, world)
        case Rest():
            pass
        case _:
            assert_never(step)


# The state Secret


async def _staged(step: Stage, key: ObjectKey, seen: Seen, world: World) -> State:
    """Make every value of the new revision: fresh ones anew, the others as they were."""
    wanted, now = _wanted(seen), world.now()
    state = await _state_as_seen(key, seen, world)
    before = state.newest.values if state else {}
    values = {
        item.name: _fresh(item)
        if item.name in step.reason.fresh or item.name not in before
        else before[item.name]
        for item in wanted.items
    }
    changed = changed_names(before, values) | _never_published(seen)
    facts = RevisionFacts(step.number, step.reason.name, now, changed)
    rotated = now if step.reason.rotates or state is None else state.rotated
    revision = Revision(facts, values)
    if state is None:
        return State(seen.uid, rotated, Triggers().with_handled(seen.requested), (revision,))
    published = seen.target.published if seen.target and seen.is_published else None
    return state.with_published(published).with_revision(
        revision, rotated, state.triggers.with_handled(seen.requested)
    )


async def _state_as_seen(key: ObjectKey, seen: Seen, world: World) -> State | None:
    """Read the state that the step was chosen from.

    Raises:
        Conflict: It is another one by now: an earlier try of ours was done, though its answer was lost.
    """
    state = await load_state(key, world) if seen.state else None
    if (state.facts() if state else None) != seen.state:
        raise errors.Conflict("get", paths.secret(key.namespace, state_name(key.name)), 0, "Changed")
    return state


def _never_published(seen: Seen) -> frozenset[str]:
    """Return what the revision before changed, if nobody has read it: those changes come with this one."""
    newest = seen.newest
    if newest is None or newest.reason == CREATED or seen.is_published:
        return frozenset()
    return newest.changed


def _fresh(item: Item) -> Kept:
    if item.recipe is None:
        return _literal(item)
    return Kept(item.recipe.text, generator_for(item.recipe).generate())


def _literal(item: Item) -> Kept:
    if item.literal is None:
        raise Stalled("NoGenerator", f"data item {item.name!r} has no source; write generate or literal")
    return Kept(LITERAL, item.literal)


async def _claimed(step: Claim, key: ObjectKey, seen: Seen, world: World) -> State:
    """Go on with the values that are there: triggers present when the object is made are only recorded."""
    state = await load_state(key, world)
    if state is not None:
        return replace(state, uid=seen.uid, triggers=state.triggers.with_handled(seen.requested))
    body = await load_target(key, _wanted(seen).secret, world)
    values = values_of(body) if body else {}
    items = {item.name: item for item in _wanted(seen).items}
    kept = {name: Kept(_recipe_of(items.get(name), value), value) for name, value in values.items()}
    # Whom the last revision has reached was lost with the state: a later one than the first concerns everybody.
    changed = frozenset(kept) if step.number > 1 else frozenset[str]()
    facts = RevisionFacts(step.number, CLAIMED, world.now(), changed)
    handled = Triggers().with_handled(seen.requested)
    return State(seen.uid, _last_rotation(seen, body), handled, (Revision(facts, kept),))


def _recipe_of(item: Item | None, value: Value) -> str:
    if item is None:
        return ""
    if item.recipe is None:
        return LITERAL
    return item.recipe.text if generator_for(item.recipe).accepts(value) else ""


def _last_rotation(seen: Seen, body: Body | None) -> datetime:
    """Believe the status as far as it cannot put a rotation off: it was never rotated in the future."""
    created = datetime.fromisoformat(body["metadata"]["creationTimestamp"]) if body else seen.now
    return min(seen.managed.status.last_rotation_time or created, seen.now)


async def _write_state(key: ObjectKey, state: State, world: World) -> None:
    memo = world.memo(key)
    known = world.mirror.secret(key.namespace, state_name(key.name))
    state, body = _fitting(key, state, known.resource_version if known else None)
    written = await _write_secret(key, body, world)
    meta = meta_of(written)
    memo.state, memo.state_version = state, meta.resource_version
    memo.state_facts, memo.checked = state.facts(), None
    world.mirror.put_secret(meta)


def _fitting(key: ObjectKey, state: State, version: str | None) -> tuple[State, Body]:
    """Drop what is old until the state fits into a Secret: to be able to go on is worth more than to go back."""
    body = state_body(key, state, version)
    while size_of(body) > LARGEST:
        state = _shortened(state)
        body = state_body(key, state, version)
    return state, body


def _shortened(state: State) -> State:
    if state.older:
        return replace(state, older=state.older[: len(state.older) // 2])
    if len(state.revisions) > 1:
        return replace(state, revisions=state.revisions[:-1])
    raise Stalled(
        "TooLarge",
        f"the values take more than the {LARGEST // 1024} KiB that a Secret holds with its record;"
        " spread them over several ManagedSecrets",
    )


# The target Secret


async def _write_target(key: ObjectKey, seen: Seen, world: World, published: datetime) -> None:
    wanted = _wanted(seen)
    state = await load_state(key, world)
    if state is None:
        raise errors.Conflict("get", paths.secret(key.namespace, state_name(key.name)), 0, "Deleted")
    found = await load_target(key, wanted.secret, world) if seen.target else None
    stamp = Stamp(state.newest.facts.number, published)
    written = await _write_secret(key, dressed_target(key, wanted, state.newest, stamp, found), world)
    world.memo(key).target = written
    world.mirror.put_secret(meta_of(written))
    agree_now(key, seen, world)


def _newly_published(step: Publish, seen: Seen, world: World) -> datetime:
    """A Secret under a new name carries what is published already: it came with the revision."""
    is_new = (seen.managed.status.revision or 0) < step.number
    return world.now() if is_new else _first_published(seen)


def _first_published(seen: Seen) -> datetime:
    """A repair publishes nothing new: who started after the revision came still runs it."""
    if seen.target and seen.target.published:
        return seen.target.published
    return seen.newest.made if seen.newest else seen.now


async def _write_secret(key: ObjectKey, body: Body, world: World) -> Body:
    """Write a Secret over the version that was read, or as a new one.

    Raises:
        Conflict: It is not as it was when it was read.
    """
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
        if workload is None or seen.newest is None:
            return
        secret = _wanted(seen).secret
        consumer = consumer_of(workload, secret, world.mirror, world.now())
        marker = marker_for(consumer, secret, seen.newest.number)
        if marker != workload.marker:
            body = await restart(world.api, workload, marker)
            if world.mirror.is_news(workload_key, body):
                world.mirror.put_workload(workload_of(workload_key.kind, body))


def _wanted(seen: Seen) -> Wanted:
    if seen.wanted is None:
        raise Stalled("InvalidSpec", "the spec cannot be followed")
    return seen.wanted
