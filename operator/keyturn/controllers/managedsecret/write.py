"""How the two Secrets of a managed secret are written: over the version that was read, and held to what was sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.controllers.context import Published, Writing
from keyturn.core.errors import Stalled
from keyturn.core.rotation.drift import changed_on_write, over, repaired, was_changed
from keyturn.core.rotation.push import binder_of
from keyturn.core.rotation.steps import Publish, Repair, Revoke
from keyturn.core.state.state import state_name
from keyturn.kube import errors, paths
from keyturn.kube.secret_informer import meta_of
from keyturn.kube.state_size import fitted, too_large
from keyturn.kube.target_secret import (
    LARGEST,
    Stamp,
    dressed_target,
    owner_of,
    released_target,
    size_of,
    target_facts,
)

from .observe import agree_now, load_state, load_target

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import State
    from keyturn.kube.client import Body

__all__ = ["known", "release", "wanted_of", "write_state", "write_target"]


def wanted_of(seen: Observed) -> Desired:
    if seen.wanted is None:
        raise Stalled("InvalidSpec", "the spec cannot be followed")
    return seen.wanted


def known(state: State | None, key: ObjectKey) -> State:
    if state is None:
        raise errors.Conflict("get", paths.secret(key.namespace, state_name(key.name)), 0, "Deleted")
    return state


# The state Secret


async def write_state(key: ObjectKey, state: State, seen: Observed, world: Context) -> None:
    """Record a state.

    Raises:
        Stalled: Something else is stored than what was sent.
    """
    memo, name = world.memo(key), state_name(key.name)
    there = world.mirror.secret(key.namespace, name)
    binder = binder_of(seen, seen.wanted, state) if seen.wanted else ""
    state, body = fitted(key, state, there.resource_version if there else None, binder)
    written = await _write_secret(key, body, world)
    meta = meta_of(written)
    if written.get("data") != body["data"]:
        world.mirror.put_secret(meta)
        raise changed_on_write(name, "what it keeps")  # and nothing is published that is not recorded
    memo.state, memo.state_version = state, meta.resource_version
    memo.state_facts, memo.checked = state.facts(), None
    world.mirror.put_secret(meta)


# The target Secret


async def write_target(
    step: Publish | Repair | Revoke, key: ObjectKey, seen: Observed, world: Context
) -> None:
    """Write the Secret of the current revision.

    Raises:
        Conflict: Something else is stored than what was sent; the next look says so.
    """
    memo = world.memo(key)
    is_new = isinstance(step, Publish)
    published = _newly_published(seen, world) if is_new else _first_published(seen)
    state = known(await load_state(key, world), key)
    body = await _body(key, seen, state, published, world)
    written = await _write_secret(key, body, world)
    meta = meta_of(written)
    memo.target = written
    world.mirror.put_secret(meta)
    if is_new:
        memo.published = Published(state.current_number, int(meta.resource_version))
    if what := _not_as_sent(written, key, seen, state):
        memo.fight = was_changed(seen, what)
        raise errors.Conflict("update", paths.secret(key.namespace, meta.name), 0, "Changed")
    memo.fight = repaired(seen) if isinstance(step, Repair) else over(seen)
    agree_now(key, seen, world)


async def _body(key: ObjectKey, seen: Observed, state: State, published: datetime, world: Context) -> Body:
    wanted, facts = wanted_of(seen), state.current.facts
    found = await load_target(key, wanted.secret, world) if seen.target else None
    stamp = Stamp(facts.number, published, facts.overlaps, seen.uid if wanted.shape.deletes else "")
    body = dressed_target(key, wanted, state, stamp, found)
    if size_of(body) > LARGEST:
        raise too_large()
    return body


def _not_as_sent(written: Body, key: ObjectKey, seen: Observed, state: State) -> str | None:
    """Say what of a Secret a webhook has changed on its way; the next look would find the same."""
    facts = target_facts(written, key, seen.uid, wanted_of(seen), state, seen.now)
    if facts.differs:
        return ", ".join(sorted(facts.differs))
    return None if facts.dressed else "its labels and annotations"


async def release(key: ObjectKey, world: Context) -> None:
    """Take our label off a Secret under an old name, of which the watch then tells nothing more."""
    try:
        found = await world.api.get(paths.secret(key.namespace, key.name))
        if owner_of(found):
            await world.api.replace(paths.secret(key.namespace, key.name), released_target(found))
    except errors.NotFound:
        pass  # somebody has deleted it
    world.mirror.drop_secret(key)


def _newly_published(seen: Observed, world: Context) -> datetime:
    """A Secret under a new name carries what is published already: it came with the revision."""
    number = seen.current.number if seen.current else None
    is_renamed = seen.target is None and seen.managed.status.revision == number
    return _first_published(seen) if is_renamed else world.now()


def _first_published(seen: Observed) -> datetime:
    """A repair publishes nothing new: who started after the revision came still runs it."""
    if seen.target and seen.target.published:
        return seen.target.published
    return seen.current.made if seen.current else seen.now


async def _write_secret(key: ObjectKey, body: Body, world: Context) -> Body:
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


async def _put_secret(key: ObjectKey, body: Body, world: Context) -> Body:
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
