"""Pushes values to stores and deletes pushed keys, as background jobs, after the state has recorded the intent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from keyturn.controllers.background import BackgroundJob, begin
from keyturn.core.backoff import backoff
from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.store_reads import PushProblem
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import transitions
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
    from keyturn.core.rotation import steps
    from keyturn.core.state.revision import Revision
    from keyturn.core.state.state import Pushed, State
    from keyturn.stores.providers import Content

T = TypeVar("T")

__all__ = ["finalized", "pushed", "withdrawn"]

_log = structlog.get_logger()

_RETRY_DELAY: Final = timedelta(minutes=1)
_MAX_RETRY_DELAY: Final = timedelta(minutes=5)
_CHECK_INTERVAL: Final = timedelta(minutes=2)


async def pushed(step: steps.Push, key: ObjectKey, state: State, context: Context) -> State | None:
    """Push the current revision to a key of a store; return the new state, or None if not done yet.

    Idempotent: the store is read before it is written.
    """
    destination, outside = step.destination, context.memory(key).outside
    policy = Policy.REPLACE if destination.replaces else Policy.IF_NOT_EXISTS
    written = await _run_job(
        f"{destination.text} {step.number}",
        destination,
        lambda: context.stores.write(
            destination.ref,
            key.namespace,
            destination.key,
            _content(destination, state.current, step.number),
            policy,
        ),
        key,
        context,
    )
    if written is None or state.facts.pushed_to(destination.id) is None:
        return None
    outside.forget_push(destination.id)
    return state.with_facts(transitions.push(step, state.facts, kept=written.outcome is Outcome.KEPT))


async def withdrawn(step: steps.Withdraw, key: ObjectKey, state: State, context: Context) -> State | None:
    """Delete a pushed key if the spec says so; return the state without it, or None if not done yet."""
    destination = step.destination
    if step.deletes:
        name = f"delete {destination.id}"
        done = await _run_job(
            name, destination, lambda: _delete(destination, state, key, context), key, context
        )
        if done is None:
            return None
    context.memory(key).outside.forget_push(destination.id)
    return state.with_facts(transitions.withdraw(step, state.facts))


async def finalized(step: steps.Finalize, key: ObjectKey, observed: Observed, context: Context) -> None:
    """Add or remove our finalizer on the ManagedSecret."""
    metadata = observed.managed.metadata
    body = {
        "metadata": {
            "resourceVersion": metadata.resource_version,
            "uid": metadata.uid,
            "finalizers": transitions.finalizers(step, metadata.finalizers),
        }
    }
    written = await context.api.patch(paths.managed_secret(key.namespace, key.name), body, Patch.MERGE)
    if metadata.deletion_timestamp and not written["metadata"].get("finalizers"):
        context.cache.drop_managed(key)  # the object is gone now
    else:
        context.cache.put_managed(written)


def _content(destination: Destination, revision: Revision, number: int) -> Content:
    """Return what is to be pushed to a place.

    Raises:
        Stalled: The revision, after a rollback, has no value for it.
    """
    data = revision.made_here()
    if not data or destination.secret_key not in {None, *data}:
        what = f"no key {destination.secret_key!r}" if destination.secret_key else "no key"
        raise Stalled(
            ErrorReason.INVALID_PUSH,
            f"pushTo: revision {number} has {what} for {destination} to be pushed",
        )
    return data[destination.secret_key] if destination.secret_key else data


async def _delete(
    destination: Destination, state: State, key: ObjectKey, context: Context
) -> bool | Wait | Stalled:
    """Delete a pushed key, unless another writer has changed it."""
    record = state.facts.pushed_to(destination.id)
    try:
        found = await context.stores.read(destination.ref, key.namespace, destination.key, fresh=True)
        if record is not None and _is_ours(found.content, record, state):
            await context.stores.delete(destination.ref, key.namespace, destination.key)
            return True
    except NotFound:
        return True
    except StoreError as error:
        return trouble_of(error, f"pushTo: {destination} is to be deleted (or write deletionPolicy: Retain)")
    _log.warning("push withdrawal skipped", secret=str(key), place=destination.id)
    return True


def _is_ours(content: Content, record: Pushed, state: State) -> bool:
    """Whether the content of a store is that of one of our revisions and nothing else."""
    secret_key = Destination.secret_key_in(record.text)
    try:
        pushed = {secret_key: properties.take(content, None)} if secret_key else properties.parts(content)
    except StoreError:
        return False
    return any(
        all(name in data and data[name] == value for name, value in pushed.items())
        for data in (revision.data() for revision in state.revisions.values())
    )


async def _run_job(
    name: str, destination: Destination, request: Callable[[], Awaitable[T]], key: ObjectKey, context: Context
) -> T | None:
    """Return the result of a background job, or None if it failed or is in progress; the problem is then recorded."""
    outside, place = context.memory(key).outside, destination.id
    job: BackgroundJob[T | Wait | Stalled] | None = outside.writing.pop(place, None)
    # Wait for a running job first, whatever it does: two concurrent writes could end in the wrong order.
    if job is None or (job.task.done() and job.name != name):
        job = await begin(name, _attempt(destination, request), lambda: _wake(place, key, context))
    if not job.task.done():
        outside.writing[place] = job
        waits = Wait(ErrorReason.PUSHING, f"pushTo: {destination} is being written", _CHECK_INTERVAL)
        outside.push_problems[place] = PushProblem(waits, context.now() + _CHECK_INTERVAL)
        return None
    outcome = job.task.result()
    if isinstance(outcome, Wait | Stalled):
        outside.push_problems[place] = PushProblem(outcome, _retry_time(outcome, place, outside, context))
        return None
    outside.push_attempts.pop(place, None)
    return outcome


async def _attempt(destination: Destination, request: Callable[[], Awaitable[T]]) -> T | Wait | Stalled:
    try:
        return await request()
    except StoreError as error:
        return trouble_of(error, f"pushTo: {destination}")
    except Stalled as stalled:
        return stalled


def _wake(place: str, key: ObjectKey, context: Context) -> None:
    """Make the push due and wake the object."""
    problems = context.memory(key).outside.push_problems
    if place in problems:
        problems[place] = problems[place]._replace(again=context.now())
    context.wake(key)


def _retry_time(problem: Wait | Stalled, place: str, outside: BackgroundWork, context: Context) -> datetime:
    attempts = outside.push_attempts[place] = outside.push_attempts.get(place, 0) + 1
    first = problem.after if isinstance(problem, Wait) else _RETRY_DELAY
    return context.now() + max(first, backoff(first, attempts, _MAX_RETRY_DELAY))
