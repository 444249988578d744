"""How values are written into stores, each time after that is recorded, and apart from the workers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from keyturn.controllers.background import BackgroundJob, begin
from keyturn.core.errors import Stalled, Wait
from keyturn.core.labels import FINALIZER
from keyturn.core.observation.store_reads import PushProblem
from keyturn.core.spec.store_refs import Destination
from keyturn.kube import paths
from keyturn.kube.client import Patch
from keyturn.stores.providers import Outcome, Policy, properties
from keyturn.stores.providers.errors import NotFound, StoreError

from .pull import trouble_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from keyturn.controllers.background import BackgroundWork
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation.steps import Finalize, Push, Withdraw
    from keyturn.core.state.revision import Revision
    from keyturn.core.state.state import Pushed, State
    from keyturn.stores.providers import Content

T = TypeVar("T")

__all__ = ["finalized", "pushed", "withdrawn"]

_log = structlog.get_logger()

_LATER: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(minutes=5)
_UNDER_WAY: Final = timedelta(minutes=2)


async def pushed(step: Push, key: ObjectKey, state: State, context: Context) -> State | None:
    """Bring a key of a store to the current revision; return the state that records it, None if it is not done.

    A second run finds it done: the store is read before it is written.
    """
    destination, outside = step.destination, context.memory(key).outside
    policy = Policy.REPLACE if destination.replaces else Policy.IF_NOT_EXISTS
    written = await _done(
        f"{destination.text} {step.number}",
        destination,
        lambda: context.stores.write(
            destination.ref,
            key.namespace,
            destination.key,
            _content(destination, state.current),
            policy,
        ),
        key,
        context,
    )
    record = state.facts().pushed_to(destination.id)
    if written is None or record is None:
        return None
    outside.forget_push(destination.id)
    return state.with_pushed(replace(record, done=True, kept=written.outcome is Outcome.KEPT))


async def withdrawn(step: Withdraw, key: ObjectKey, state: State, context: Context) -> State | None:
    """Delete what was pushed, where the spec said so; return the state that no longer knows it, None if not done."""
    destination = step.destination
    if step.deletes:
        name = f"delete {destination.id}"
        done = await _done(
            name, destination, lambda: _deleted(destination, state, key, context), key, context
        )
        if done is None:
            return None
    context.memory(key).outside.forget_push(destination.id)
    return state.without_pushed(destination.id)


async def finalized(step: Finalize, key: ObjectKey, observed: Observed, context: Context) -> None:
    """Put our finalizer on the ManagedSecret, or take it off."""
    metadata = observed.managed.metadata
    others = [one for one in metadata.finalizers if one != FINALIZER]
    body = {
        "metadata": {
            "resourceVersion": metadata.resource_version,
            "uid": metadata.uid,
            "finalizers": [*others, FINALIZER] if step.present else others,
        }
    }
    written = await context.api.patch(paths.managed_secret(key.namespace, key.name), body, Patch.MERGE)
    if metadata.deletion_timestamp and not written["metadata"].get("finalizers"):
        context.cache.drop_managed(key)  # this was the last thing that kept it
    else:
        context.cache.put_managed(written)


def _content(destination: Destination, revision: Revision) -> Content:
    """Return what goes to a place.

    Raises:
        Stalled: An earlier revision that came back has nothing for it.
    """
    data = revision.made_here()
    if not data or destination.secret_key not in {None, *data}:
        what = f"no key {destination.secret_key!r}" if destination.secret_key else "no key"
        raise Stalled(
            "InvalidPush",
            f"pushTo: revision {revision.facts.number} has {what} for {destination} to be pushed",
        )
    return data[destination.secret_key] if destination.secret_key else data


async def _deleted(
    destination: Destination, state: State, key: ObjectKey, context: Context
) -> bool | Wait | Stalled:
    """Delete what we have pushed; what somebody else has put in its place meanwhile stays."""
    record = state.facts().pushed_to(destination.id)
    try:
        found = await context.stores.read(destination.ref, key.namespace, destination.key, fresh=True)
        if record is not None and _is_ours(found.content, record, state):
            await context.stores.delete(destination.ref, key.namespace, destination.key)
            return True
    except NotFound:
        return True
    except StoreError as error:
        return trouble_of(error, f"pushTo: {destination} is to be deleted (or write deletionPolicy: Retain)")
    _log.warning("what was pushed is another's by now and stays", secret=str(key), place=destination.id)
    return True


def _is_ours(content: Content, record: Pushed, state: State) -> bool:
    """Say whether a store holds what some revision of ours has pushed there, and nothing besides."""
    secret_key = Destination.secret_key_in(record.text)
    try:
        there = {secret_key: properties.take(content, None)} if secret_key else properties.parts(content)
    except StoreError:
        return False
    return any(
        all(name in data and data[name] == value for name, value in there.items())
        for data in (one.data() for one in state.revisions)
    )


async def _done(
    name: str, destination: Destination, doing: Callable[[], Awaitable[T]], key: ObjectKey, context: Context
) -> T | None:
    """Return what came of it; None where it failed, or goes on: then it is a problem until its end."""
    outside, place = context.memory(key).outside, destination.id
    errand: BackgroundJob[T | Wait | Stalled] | None = outside.writing.pop(place, None)
    # What goes on is waited for, whatever it is: two writes at a time could end in the wrong order.
    if errand is None or (errand.task.done() and errand.name != name):
        errand = await begin(name, _tried(destination, doing), lambda: _ended(place, key, context))
    if not errand.task.done():
        outside.writing[place] = errand
        waits = Wait("Pushing", f"pushTo: {destination} is being written", _UNDER_WAY)
        outside.push_problems[place] = PushProblem(waits, context.now() + _UNDER_WAY)
        return None
    outcome = errand.task.result()
    if isinstance(outcome, Wait | Stalled):
        outside.push_problems[place] = PushProblem(outcome, _again(outcome, place, outside, context))
        return None
    outside.push_attempts.pop(place, None)
    return outcome


async def _tried(destination: Destination, doing: Callable[[], Awaitable[T]]) -> T | Wait | Stalled:
    try:
        return await doing()
    except StoreError as error:
        return trouble_of(error, f"pushTo: {destination}")
    except Stalled as stalled:
        return stalled


def _ended(place: str, key: ObjectKey, context: Context) -> None:
    """Have its end looked at."""
    problems = context.memory(key).outside.push_problems
    if place in problems:
        problems[place] = problems[place]._replace(again=context.now())
    context.wake(key)


def _again(problem: Wait | Stalled, place: str, outside: BackgroundWork, context: Context) -> datetime:
    attempts = outside.push_attempts[place] = outside.push_attempts.get(place, 0) + 1
    first = problem.after if isinstance(problem, Wait) else _LATER
    return context.now() + max(first, min(first * 2.0 ** min(attempts - 1, 10), _LONGEST_WAIT))
