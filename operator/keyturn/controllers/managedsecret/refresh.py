"""Decides when the stores of a ManagedSecret are read, and compares the values with the recorded ones."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from keyturn.controllers.context import Context, begin
from keyturn.core.errors import Attempts, Stalled
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.external import NOT_READ, Pulled, Reading, being_read
from keyturn.core.observation.observed import Managed, Observed, Specified, with_facts
from keyturn.core.reasons import ConditionReason, RevisionReason
from keyturn.core.rotation.decision import refusal
from keyturn.core.rotation.triggers import is_paused, store_change_waits
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import is_spread
from keyturn.core.spec.references import next_refresh
from keyturn.core.spec.schedule import is_open
from keyturn.core.state.records import ItemValues, StoreLease, is_found
from keyturn.core.state.state import State

from .leases import LeaseManager, LeaseMemory, UnrecordedLeases
from .pull import PullMemory, PullRecord, empty, read_all, reads_stores
from .push import PushMemory
from .retries import failed_again

Load: TypeAlias = "Callable[[], Awaitable[State | None]]"

_RETRY_DELAY: Final = timedelta(minutes=1)
_RENEWAL_RETRY_DELAY: Final = timedelta(seconds=15)
_UNRECORDED_DELAY: Final = timedelta(seconds=30)
"""When changed values that could not be recorded are read again."""


class StoreMemory:
    """Operations of ManagedSecrets at stores, each kind with its owner: reads, pushes and leases."""

    def __init__(self, context: Context) -> None:
        self.pulls = PullMemory()
        self.pushes = PushMemory()
        self.leases = LeaseMemory(context)

    def retry(self, key: ObjectKey, now: datetime) -> None:
        """Make all failed operations of a ManagedSecret due now, because a store has recovered or was changed."""
        self.pulls.retry(key, now)
        self.pushes.retry(key, now)
        self.leases.retry(key, now)

    def keep(self, key: ObjectKey, observed: Specified) -> None:
        """End reads and revoke unrecorded leases that the spec no longer asks for."""
        if not _reads(observed):
            self.pulls.stop(key)
        places = {item.source.place for item in observed.desired.pulled if item.source}
        self.leases.keep(key, places, observed.state)

    def forget(self, key: ObjectKey) -> None:
        """Cancel the operations of a deleted object, and drop their records."""
        self.pulls.forget(key)
        self.pushes.forget(key)
        self.leases.forget(key)


@dataclass(frozen=True, slots=True)
class _Pull:
    """A read of a ManagedSecret's stores that may be due: the observation, and the memory of the process."""

    key: ObjectKey
    observed: Specified
    record: PullRecord
    unrecorded: UnrecordedLeases
    context: Context
    load: Load
    """Returns the state with its values."""


async def with_stores(
    key: ObjectKey, observed: Observed, memory: StoreMemory, context: Context, load: Load
) -> Observed:
    """Add what the stores hold, after a read if one is due, and the failed operations; `load` returns the state.

    A failed read is part of the result, not an exception.
    """
    is_asked, pulled, state = False, Pulled(), observed.state
    if isinstance(observed, Specified):
        is_asked = bool(observed.desired.pulled or observed.desired.pushes)
        if not observed.is_inactive:
            memory.keep(key, observed)
    if not is_asked and not (state and (state.leases or state.pushed)):
        return observed
    if isinstance(observed, Specified):
        pulled = await _pull(key, observed, memory, context, load)
    return with_facts(
        observed,
        pulled=pulled,
        push_problems=memory.pushes.problems(key),
        revocation_problems=memory.leases.postponed(key),
    )


def _reads(observed: Specified) -> bool:
    """Whether values are read from stores: the first ones only for a target that may be written.

    Without a state, a dynamic credential could not be recorded, and each process would request another one.
    """
    return reads_stores(observed) and not (observed.state is None and refusal(observed))


async def _pull(
    key: ObjectKey, observed: Specified, memory: StoreMemory, context: Context, load: Load
) -> Pulled:
    """Return what differs from the state."""
    desired, record = observed.desired, memory.pulls.record(key)
    refs = [item.source.ref for item in desired.pulled if item.source] + [one.ref for one in desired.pushes]
    now = {(str(ref.kind), ref.name): context.stores.identity(ref, key.namespace) for ref in refs}
    before, record.stores = record.stores, now
    if any(before[name] != now[name] for name in before.keys() & now.keys()):  # a store was changed
        memory.retry(key, observed.now)
        if desired.refresh_interval:  # without an interval, values are not read again
            record.due = observed.now
    if observed.is_inactive or not _reads(observed):
        return Pulled(reading=record.last or NOT_READ)
    unrecorded = memory.leases.unrecorded(key)
    pulled = await _pull_if_due(_Pull(key, observed, record, unrecorded, context, load))
    taken = tuple(one.lease for one in unrecorded.acquired.values())
    reading = record.last or NOT_READ
    return replace(
        pulled,
        reading=reading,
        leases=(*reading.leases, *(lease for lease in taken if lease not in reading.leases)),
        in_hand=frozenset(lease.id for lease in taken),
    )


async def _pull_if_due(pull: _Pull) -> Pulled:
    observed, desired, record = pull.observed, pull.observed.desired, pull.record
    if record.due is None:
        record.due = _first_due(observed)
    if not _read_for(observed) <= record.read_for:  # an emergency was declared since the read began
        record.last = None
    if record.last is None and _is_due(pull):
        record.last = await _read(pull)
    if record.last is None or record.last.problem:
        return _not_read(pull)
    state = await pull.load() if observed.state else None
    record.last = _retained(record.last, state, desired)
    record.retained = record.last.retained
    if problem := _emptied(record.last.values, state):
        record.was_read, record.due = False, observed.now + _RETRY_DELAY
        record.failed = Attempts(problem, record.due)
        return _not_read(pull)
    record.was_read = True
    changed, record.waiting = frozenset[str](), frozenset[str]()
    # Without a refresh interval, values are read once and stay.
    if state and isinstance(observed, Managed) and desired.refresh_interval:
        changed = _changed(record.last.values, observed, state)
        record.waiting = changed if store_change_waits(changed, observed) else frozenset()
    if changed and not record.waiting:
        record.due = observed.now + _UNRECORDED_DELAY
    else:
        record.due = _next_read(record.last.leases, observed)
    return Pulled(
        read=True,
        was_read=True,
        changed=changed,
        waiting=record.waiting,
        again=record.due,
        retained=record.retained,
    )


def _not_read(pull: _Pull) -> Pulled:
    record, observed = pull.record, pull.observed
    is_unfit = any(item.name in observed.mismatched_items for item in observed.desired.pulled)
    is_awaited = record.reading is not None and (is_unfit or not observed.has_every_key)
    problem = record.failed.error if record.failed else (being_read() if is_awaited else None)
    # The end of a read in progress wakes the object.
    again = None if record.reading else record.due
    retained = record.retained if record.was_read else frozenset[str]()
    return Pulled(
        was_read=record.was_read, waiting=record.waiting, problem=problem, again=again, retained=retained
    )


def _first_due(observed: Specified) -> datetime | None:
    """Continue the schedule of the previous process; what it had not read is due at once."""
    conditions = observed.managed.status.conditions
    before = [one.status for one in conditions if one.type == "Refreshed"]
    if any(one.reason == ConditionReason.WAITS_FOR_WINDOW for one in conditions):
        return observed.now  # what waits is known again after a read
    rotation = observed.managed.status.rotation
    is_begun = rotation is not None and (rotation.reason, rotation.step) == (
        RevisionReason.REFRESHED,
        "Stage",
    )
    has_leases = observed.state is not None and bool(observed.state.leases_by_item)
    if "True" in before and not is_begun and not has_leases:  # a lease may be due
        return _next_refresh(observed)
    return observed.now


def _next_read(leases: Iterable[StoreLease], observed: Specified) -> datetime | None:
    """Return when the stores are read again: at the next refresh, or at half of a lease's duration."""
    refresh = _next_refresh(observed)
    if refresh is None:
        return None
    # A lease beyond half of its duration could not be renewed, since its store does not respond.
    halves = (
        lease.due if lease.due > observed.now else observed.now + _RENEWAL_RETRY_DELAY for lease in leases
    )
    return min([refresh, *halves])


def _next_refresh(observed: Specified) -> datetime | None:
    if observed.desired.refresh_interval is None:
        return None
    sources = [item.source for item in observed.desired.pulled if item.source]
    return next_refresh(
        observed.desired.refresh_interval, sources, observed.managed.metadata.namespace, observed.now
    )


def _is_due(pull: _Pull) -> bool:
    record, observed = pull.record, pull.observed
    if record.reading is not None:
        return True  # in progress, or ended
    if record.due is not None and record.due <= observed.now:
        return True
    if record.failed:
        return record.asked != _read_name(pull)
    return (
        not isinstance(observed, Managed)
        or observed.asks_to_refresh
        or (bool(record.waiting) and is_open(observed.desired.windows, observed.now))
        or _asks_for_others(observed)
    )


def _asks_for_others(observed: Managed) -> bool:
    """Whether the spec asks for values that were not read for it; not while a rollback pauses rotation."""
    if is_paused(observed):
        return False
    desired, recorded = observed.desired, observed.state.keys
    if any(one.name not in recorded or one.name in observed.mismatched_items for one in desired.pulled):
        return True
    # Keys of data take precedence over those of dataFrom, so a change of one may change the other.
    then = {name: keys for name, keys in recorded.items() if not (is_spread(name) or is_found(name))}
    return desired.keys != then and any(item.spreads for item in desired.pulled)


def _read_name(pull: _Pull) -> str:
    """Return the name of a read job; a result under another name is not used."""
    observed = pull.observed
    asked = (
        observed.managed.metadata.generation,
        observed.requested.refresh,
        sorted(_read_for(observed)),
        observed.state is None,
        refusal(observed) is None,
    )
    return repr((*asked, sorted(pull.record.stores.items())))


def _read_for(observed: Observed) -> frozenset[str]:
    """Return the UIDs of the emergencies that a read which begins now is for."""
    return frozenset(one.uid for one in observed.stale_for_emergencies)


async def _read(pull: _Pull) -> Reading | None:
    """Return the result of the read, or None while it is in progress; its end wakes the object."""
    record, asked = pull.record, _read_name(pull)
    if record.reading and record.reading.name != asked:
        record.reading.task.cancel()
        record.reading = None
    if record.reading is None:
        doing = await _prepare_read(pull)
        record.reading_since = pull.context.now()
        record.reading = await begin(asked, doing, lambda: pull.context.queue.add(pull.key))
    if not record.reading.task.done():
        return None
    task, record.reading = record.reading.task, None
    ended = task.result()
    record.asked, record.read_for = asked, _read_for(pull.observed)
    if ended.problem is None:
        record.failed = None
        return ended
    record.failed = failed_again(record.failed, ended.problem, pull.observed.now)
    record.was_read, record.due = False, record.failed.again
    return ended


def _exposed_places(observed: Specified) -> frozenset[str]:
    """Return the keys of stores whose dynamic credentials an emergency takes: items that read one share it."""
    pulled = {item.name: item.source.place for item in observed.desired.pulled if item.source}
    taken = frozenset[str]().union(*(one.taken(pulled) for one in observed.stale_for_emergencies))
    places = frozenset(pulled[name] for name in taken)
    if any(one.items is None for one in observed.stale_for_emergencies) and observed.state:
        places |= {lease.place for lease in observed.state.leases}
    return places


async def _prepare_read(pull: _Pull) -> Coroutine[Any, Any, Reading]:
    """Prepare the read of all stores; the leases that the state records are renewed with it."""
    observed, desired, stores = pull.observed, pull.observed.desired, pull.context.stores
    # Without a state, any refresh request may be new.
    is_new = observed.requested.refresh is not None
    fresh = observed.asks_to_refresh if isinstance(observed, Managed) else is_new
    state = await pull.load() if observed.state and observed.state.leases else None
    reissue = _exposed_places(observed)
    now = pull.context.now
    leases = LeaseManager(
        pull.key, desired, state, pull.unrecorded, stores, now, reissue=reissue, refusal=refusal(observed)
    )
    return read_all(pull.key, observed, stores, leases, fresh=fresh)


# Comparison with the state


def _retained(reading: Reading, state: State | None, desired: Desired) -> Reading:
    """Add the kept properties that are gone at the store to the values that were read.

    An entry may have moved, so that its values are recorded under the name of another place.
    """
    recorded = {kept.recipe: kept for kept in state.current.values.values()} if state else {}
    taken = {key for kept in reading.values.values() for key in kept.keys.values()} | desired.item_keys
    completed = {
        item.name: found
        for item in desired.pulled
        if item.source
        and item.spreads
        and not item.deletes
        and item.source.text in recorded
        and (found := reading.values[item.name].with_gone(recorded[item.source.text], taken))
    }
    if not completed:
        return reading
    # Further steps of this pass use the result.
    return replace(
        reading, values={**reading.values, **completed}, retained=reading.retained | completed.keys()
    )


def _changed(values: Mapping[str, ItemValues], observed: Managed, state: State) -> frozenset[str]:
    """Return the items that differ from the current revision and from the one that was rolled back."""
    pause = observed.rollback_pause
    held = state.revisions.get(pause.number if pause and is_paused(observed) else state.facts.current_number)
    if held is None:
        return frozenset()  # the values of the failed revision are gone
    return frozenset(
        name
        for name, kept in values.items()
        if all(
            before is None or before.lease != kept.lease or before.data() != kept.data()
            for before in (state.current.values.get(name), held.values.get(name))
        )
    )


def _emptied(values: Mapping[str, ItemValues], state: State | None) -> Stalled | None:
    """Return an error if a key would become empty; a property that was always empty may stay so."""
    recorded = state.current.data() if state else {}
    for name, kept in values.items():
        for key, value in kept.data().items():
            if not value.reveal() and key in recorded and recorded[key].reveal():
                return empty(f"{name}: what would go into the key {key!r}")
    return None
