"""Pushes values to stores and deletes pushed keys, as background jobs, after the state has recorded the intent."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import structlog

from keyturn.controllers.context import BackgroundJob, Context, begin
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ErrorReason
from keyturn.core.rotation import steps, transitions
from keyturn.core.spec.references import Destination
from keyturn.core.state.records import Revision
from keyturn.core.state.state import Pushed, State
from keyturn.kube import paths
from keyturn.kube.wire import Patch
from keyturn.runtime import threadpools
from keyturn.stores.providers import Content, Policy, WriteResult, properties
from keyturn.stores.providers.errors import NotFound, StoreError, UnusableError, detail_of

from .pull import trouble_of
from .retries import failed_again, waiting

T = TypeVar("T")

_log = structlog.get_logger()

_CHECK_INTERVAL: Final = timedelta(minutes=2)


@dataclass(slots=True)
class _Write:
    """The last write to one destination."""

    job: BackgroundJob[Any] | None = None
    attempts: Attempts | None = None
    """Why it failed, or that it is in progress, until the state records the write."""
    is_left: bool = False
    """Whether a key that was to be deleted is left at its store, until that is reported."""

    def resume(self, now: datetime) -> None:
        """Make a failed push due now."""
        self.attempts = self.attempts and replace(self.attempts, again=now)


class PushMemory:
    """Writes to stores, in progress or failed with their back-off, by ManagedSecret and destination."""

    def __init__(self) -> None:
        self._writes: dict[ObjectKey, dict[str, _Write]] = {}

    def of(self, key: ObjectKey, place: str) -> _Write:
        return self._writes.setdefault(key, {}).setdefault(place, _Write())

    def problems(self, key: ObjectKey) -> Mapping[str, Attempts]:
        """Return the last failure of each push, or that it is in progress."""
        writes = self._writes.get(key, {})
        return {place: write.attempts for place, write in writes.items() if write.attempts}

    def retry(self, key: ObjectKey, now: datetime) -> None:
        """Make all failed pushes due now, because a store has recovered."""
        for write in self._writes.get(key, {}).values():
            write.resume(now)

    def take_left(self, key: ObjectKey, place: str) -> bool:
        """Return whether a key that was to be deleted is left at its store, and drop that."""
        write = self._writes.get(key, {}).pop(place, None)
        return write is not None and write.is_left

    def forget_place(self, key: ObjectKey, place: str, *, is_left: bool = False) -> None:
        """Drop the failed attempts to push to a destination."""
        write = self.of(key, place)
        write.attempts, write.is_left = None, is_left
        if write == _Write():
            del self._writes[key][place]

    def forget(self, key: ObjectKey) -> None:
        """Cancel the writes of a deleted object, and drop its records."""
        for write in self._writes.pop(key, {}).values():
            if write.job:
                write.job.task.cancel()


async def push(
    step: steps.Push, key: ObjectKey, state: State, memory: PushMemory, context: Context
) -> State | None:
    """Push the current revision to a key of a store; return the new state, or None if not done yet.

    Idempotent: the store is read before it is written.
    """
    destination = step.destination
    name = f"{destination.text} {step.number}"
    found = await _run_job(name, destination, lambda: _write(step, state, key, context), key, memory, context)
    if found is None or state.facts.pushed_to(destination.id) is None:
        return None
    memory.forget_place(key, destination.id)
    return state.with_facts(transitions.push(step, state.facts, kept=found.kept, ours=found.ours))


async def delete_pushed_key(
    step: steps.Withdraw, key: ObjectKey, state: State, memory: PushMemory, context: Context
) -> State | None:
    """Delete a pushed key if the spec says so; return the state without it, or None if not done yet."""
    destination, is_left = step.destination, False
    if step.deletes:
        name = f"delete {destination.id}"
        is_gone = await _run_job(
            name, destination, lambda: _delete(destination, state, key, context), key, memory, context
        )
        if is_gone is None:
            return None
        is_left = not is_gone
    memory.forget_place(key, destination.id, is_left=is_left)
    return state.with_facts(state.facts.without_pushed(step.destination.id))


async def set_finalizer(step: steps.Finalize, key: ObjectKey, observed: Observed, context: Context) -> None:
    """Add or remove our finalizer on the ManagedSecret."""
    metadata = observed.managed.metadata
    body = {
        "metadata": {
            "resourceVersion": metadata.resource_version,
            "uid": metadata.uid,
            "finalizers": transitions.finalizers(step, metadata.finalizers),
        }
    }
    with context.own_writes.of(key, metadata):
        written = await context.api.patch(paths.managed_secret(key.namespace, key.name), body, Patch.MERGE)
        if not metadata.deletion_timestamp or written["metadata"].get("finalizers"):
            context.cache.put_managed(written)
        elif context.cache.version_of(key) <= int(written["metadata"]["resourceVersion"]):
            context.drop_managed(key)


class _PushResult(NamedTuple):
    """Result of a push."""

    kept: bool
    """Whether the store has other content, which its policy keeps."""
    ours: bool
    """Whether the content is that of a push."""


async def _write(step: steps.Push, state: State, key: ObjectKey, context: Context) -> _PushResult:
    """Write the current revision; find out who wrote the content that the policy keeps, if that is not recorded."""
    destination, record = step.destination, state.facts.pushed_to(step.destination.id)
    policy = Policy.REPLACE if destination.replaces else Policy.IF_NOT_EXISTS
    content = _content(destination, state.current, step.number)
    written = await context.stores.write(destination.ref, key.namespace, destination.key, content, policy)
    is_kept = written.outcome is WriteResult.KEPT
    if not is_kept or record is None or record.ours:
        return _PushResult(kept=is_kept, ours=True)
    # The answer to the write of an earlier revision may have been lost.
    try:
        found = await context.stores.inspect(destination.ref, key.namespace, destination.key)
    except NotFound:
        return _PushResult(kept=True, ours=False)
    ours = await threadpools.run_for_tenant(key.namespace, _is_of_a_push, found.content, record, state)
    return _PushResult(kept=True, ours=ours)


def _content(destination: Destination, revision: Revision, number: int) -> Content:
    """Return what is to be pushed to a place."""
    data = revision.made_here()
    if not data or destination.secret_key not in {None, *data}:
        what = f"no key {destination.secret_key!r}" if destination.secret_key else "no key"
        raise Stalled(
            ErrorReason.INVALID_PUSH, f"pushTo: revision {number} has {what} for {destination} to be pushed"
        )
    return data[destination.secret_key] if destination.secret_key else data


async def _delete(
    destination: Destination, state: State, key: ObjectKey, context: Context
) -> bool | Wait | Stalled:
    """Delete a pushed key, unless another writer has changed it; return whether it is gone."""
    record = state.facts.pushed_to(destination.id)
    try:
        found = await context.stores.inspect(destination.ref, key.namespace, destination.key)
        if record is not None and await threadpools.run_for_tenant(
            key.namespace, _is_ours, found.content, record, state
        ):
            await context.stores.delete(destination.ref, key.namespace, destination.key)
            return True
    except UnusableError as error:
        # Only its value could prove that its content is ours.
        return Stalled(
            ErrorReason.PROVIDER_ERROR,
            f"pushTo: {destination} is to be deleted, and its value cannot be compared ({detail_of(error)});"
            " make it readable or delete the key at the store, or write deletionPolicy: Retain",
        )
    except NotFound:
        return True
    except StoreError as error:
        return trouble_of(error, f"pushTo: {destination} is to be deleted (or write deletionPolicy: Retain)")
    _log.warning("push withdrawal skipped", secret=str(key), place=destination.id)
    return False


def _is_of_a_push(content: Content, record: Pushed, state: State) -> bool:
    """Whether the content of a store is exactly what the push of one of our revisions writes."""
    if Destination.secret_key_in(record.text):
        return _is_ours(content, record, state)
    every = (revision.made_here() for revision in state.revisions.values())
    return any(data and properties.are_same(content, data) for data in every)


def _is_ours(content: Content, record: Pushed, state: State) -> bool:
    """Whether the content of a store is that of one of our revisions and nothing else."""
    every = [revision.data() for revision in state.revisions.values()]
    secret_key = Destination.secret_key_in(record.text)
    if secret_key:
        values = (data[secret_key] for data in every if secret_key in data)
        return any(properties.have_same_members(content, value) for value in values)
    try:
        pushed = properties.parts(content)
    except StoreError:
        return False
    return bool(pushed) and any(pushed.items() <= data.items() for data in every)


async def _run_job(
    name: str,
    destination: Destination,
    request: Callable[[], Awaitable[T]],
    key: ObjectKey,
    memory: PushMemory,
    context: Context,
) -> T | None:
    """Return the result of a background job, or None if it failed or is in progress; the problem is then recorded."""
    write = memory.of(key, destination.id)
    job: BackgroundJob[T | Wait | Stalled] | None
    job, write.job = write.job, None
    # Wait for a running job first, whatever it does: two concurrent writes could end in the wrong order.
    if job is None or (job.task.done() and job.name != name):

        def wake() -> None:
            write.resume(context.now())
            context.queue.add(key)

        job = await begin(name, _attempt(destination, request), wake)
    if not job.task.done():
        waits = Wait(ErrorReason.PUSHING, f"pushTo: {destination} is being written", _CHECK_INTERVAL)
        write.job, write.attempts = job, waiting(write.attempts, waits, context.now())
        return None
    outcome = job.task.result()
    if isinstance(outcome, Wait | Stalled):
        write.attempts = failed_again(write.attempts, outcome, context.now())
        return None
    return outcome  # the attempts stay until the state records the write


async def _attempt(destination: Destination, request: Callable[[], Awaitable[T]]) -> T | Wait | Stalled:
    try:
        return await request()
    except StoreError as error:
        return trouble_of(error, f"pushTo: {destination}")
    except (Stalled, threadpools.TookTooLong) as error:
        return error
