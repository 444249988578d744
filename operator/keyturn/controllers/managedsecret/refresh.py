"""When the stores of a managed secret are read, and what is others there than in the Secret."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from keyturn.controllers.background import begin
from keyturn.core.errors import Wait
from keyturn.core.observation.store_reads import Pulled, being_read
from keyturn.core.rotation.reasons import REFRESHED
from keyturn.core.spec.items import is_spread
from keyturn.core.spec.store_refs import next_refresh

from .leases import LeaseManager
from .pull import empty, looks_for_lost, read_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from keyturn.api.source import StoreRef
    from keyturn.controllers.background import BackgroundWork, Reading
    from keyturn.controllers.context import Context
    from keyturn.core.errors import Stalled
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.lease import StoreLease
    from keyturn.core.state.revision import ItemValues
    from keyturn.core.state.state import State, StateFacts
    from keyturn.stores import Stores

__all__ = ["pulled_now"]

Load: TypeAlias = "Callable[[], Awaitable[State | None]]"

_LATER: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = timedelta(minutes=5)
_RENEWED_LATER: Final = timedelta(seconds=15)
_HELD_UP: Final = timedelta(seconds=30)
"""After which a value is looked at again that was found and could not be taken in."""


async def pulled_now(key: ObjectKey, observed: Observed, context: Context, load: Load) -> Pulled:
    """Read the stores of a managed secret if it is time, and say what is others there than `load` finds in the state.

    What keeps it from reading is part of the answer.
    """
    desired, outside = observed.desired, context.memory(key).outside
    if desired is None:
        return Pulled()
    _note_stores(outside, observed, desired, context.stores)
    if _is_at_rest(observed) or not (desired.pulled or looks_for_lost(observed, desired)):
        return Pulled()
    pulled = await _pulled_now(key, observed, desired, context, load)
    if outside.in_hand:
        outside.keep_in_hand({item.source.place for item in desired.pulled if item.source}, _held(observed))
    taken = tuple(there.loan for there in outside.in_hand.values())
    renewed = outside.last.loans if outside.last else ()
    if not (taken or renewed):
        return pulled
    return replace(
        pulled,
        loans=(*renewed, *(loan for loan in taken if loan not in renewed)),
        in_hand=frozenset(loan.id for loan in taken),
    )


async def _pulled_now(
    key: ObjectKey, observed: Observed, desired: Desired, context: Context, load: Load
) -> Pulled:
    outside = context.memory(key).outside
    if outside.due is None:
        outside.due = _first_due(observed, desired)
    if outside.last is None and _is_time(outside, observed, desired):
        outside.last = await _read(key, observed, desired, outside, context, load)
    if outside.last is None or outside.last.problem:
        return _not_read(outside, observed, desired)
    state = await load() if observed.state else None
    outside.last = _retained(outside.last, state, desired)
    outside.retained = outside.last.retained
    if problem := _emptied(outside.last.values, state):
        outside.problem, outside.was_read, outside.due = problem, False, observed.now + _LATER
        return _not_read(outside, observed, desired)
    outside.was_read = True
    # What is written once stays, whatever its store holds by now.
    changed = _changed(outside.last.values, observed, state) if desired.refresh_interval else frozenset[str]()
    outside.due = observed.now + _HELD_UP if changed else _next_look(outside.last.loans, observed, desired)
    return Pulled(read=True, was_read=True, changed=changed, again=outside.due, retained=outside.retained)


def _not_read(outside: BackgroundWork, observed: Observed, desired: Desired) -> Pulled:
    problem = outside.problem or _under_way(outside, observed, desired)
    # The end of what goes on wakes the object.
    again = None if outside.reading else outside.due
    retained = outside.retained if outside.was_read else frozenset[str]()
    return Pulled(was_read=outside.was_read, problem=problem, again=again, retained=retained)


def _held(observed: Observed) -> frozenset[str]:
    """Name the loans that the current revision holds."""
    return frozenset(observed.state.borrowed.values()) if observed.state else frozenset()


def _is_at_rest(observed: Observed) -> bool:
    spec, metadata = observed.managed.spec, observed.managed.metadata
    return bool(observed.trouble or spec.suspend or metadata.deletion_timestamp or observed.state_is_foreign)


def _first_due(observed: Observed, desired: Desired) -> datetime | None:
    """Go on where another process has left off: what was not read is read at once, all else when its time comes."""
    before = (one.status for one in observed.managed.status.conditions if one.type == "Refreshed")
    rotation = observed.managed.status.rotation
    is_begun = rotation is not None and (rotation.reason, rotation.step) == (REFRESHED, "Stage")
    if "True" in before and not is_begun and not _held(observed):  # what is lent may be due
        return _next_refresh(observed, desired)
    return observed.now


def _next_look(loans: Iterable[StoreLease], observed: Observed, desired: Desired) -> datetime | None:
    """Return when the stores are read again: at the next refresh, or before the end of what they lend."""
    refresh = _next_refresh(observed, desired)
    if refresh is None:
        return None
    # One that is past half of its time could not be renewed: its store does not answer.
    halves = (loan.due if loan.due > observed.now else observed.now + _RENEWED_LATER for loan in loans)
    return min([refresh, *halves])


def _next_refresh(observed: Observed, desired: Desired) -> datetime | None:
    if desired.refresh_interval is None:
        return None
    sources = [item.source for item in desired.pulled if item.source]
    return next_refresh(desired.refresh_interval, sources, observed.managed.metadata.namespace, observed.now)


def _note_stores(outside: BackgroundWork, observed: Observed, desired: Desired, stores: Stores) -> None:
    """Have everything tried again where a store is another one than at the last look."""
    namespace = observed.managed.metadata.namespace
    now = {(str(ref.kind), ref.name): stores.identity(ref, namespace) for ref in _refs(desired)}
    before, outside.stores = outside.stores, now
    if any(before[name] != now[name] for name in before.keys() & now.keys()):
        outside.try_again(observed.now)
        if desired.refresh_interval:  # what is written once is not read again
            outside.due = observed.now


def _is_time(outside: BackgroundWork, observed: Observed, desired: Desired) -> bool:
    if outside.reading is not None:
        return True  # it goes on, or has ended
    if outside.due is not None and outside.due <= observed.now:
        return True
    if outside.problem:
        return outside.asked != _asked(outside, observed)
    return (
        observed.state is None
        or observed.asks_to_refresh
        or _asks_for_others(observed, observed.state, desired)
    )


def _asks_for_others(observed: Observed, state: StateFacts, desired: Desired) -> bool:
    """Say whether the spec asks for what was not read for it; an earlier revision that came back is no such thing."""
    if observed.held:
        return False
    if any(item.name not in state.names or item.name in observed.unfit for item in desired.pulled):
        return True
    # What dataFrom brings goes behind what data brings, so it is others where those are.
    then = {name: keys for name, keys in state.keys.items() if not is_spread(name)}
    return desired.keys != then and any(item.spreads for item in desired.pulled)


def _refs(desired: Desired) -> list[StoreRef]:
    return [item.source.ref for item in desired.pulled if item.source] + [one.ref for one in desired.pushes]


def _under_way(outside: BackgroundWork, observed: Observed, desired: Desired) -> Wait | None:
    """Say that a value is awaited which the spec asks for; where there is one, nobody needs to know."""
    is_unfit = any(item.name in observed.unfit for item in desired.pulled)
    is_awaited = outside.reading is not None and (is_unfit or not observed.is_complete)
    return being_read() if is_awaited else None


def _asked(outside: BackgroundWork, observed: Observed) -> str:
    """Name what is to be read, so that the answer to another question is of no use."""
    asked = (
        observed.managed.metadata.generation,
        observed.requested.refresh,
        observed.rereads_for,
        observed.state is None,
    )
    return repr((*asked, sorted(outside.stores.items())))


async def _read(
    key: ObjectKey,
    observed: Observed,
    desired: Desired,
    outside: BackgroundWork,
    context: Context,
    load: Load,
) -> Reading | None:
    """Return how the reading ended, or None while it goes on; then the object is woken at its end."""
    asked = _asked(outside, observed)
    if outside.reading and outside.reading.name != asked:
        outside.reading.task.cancel()
        outside.reading = None
    if outside.reading is None:
        # Where nothing is recorded yet, any request may be a new one.
        fresh = observed.asks_to_refresh or (
            observed.state is None and observed.requested.refresh is not None
        )
        state = await load() if observed.state and observed.state.loans else None
        anew = bool(observed.rereads_for)
        borrower = LeaseManager(key, desired, state, outside, context.stores, context.now, anew=anew)
        doing = read_all(key, observed, desired, context.stores, borrower, fresh=fresh)
        outside.reading_since = context.now()
        outside.reading = await begin(asked, doing, lambda: context.wake(key))
    if not outside.reading.task.done():
        return None
    task, outside.reading = outside.reading.task, None
    ended = task.result()
    outside.problem, outside.asked = ended.problem, asked
    if ended.problem is None:
        outside.attempts = 0
        return ended
    outside.was_read = False
    first = ended.problem.after if isinstance(ended.problem, Wait) else _LATER
    outside.due = observed.now + max(first, min(first * 2.0 ** min(outside.attempts, 10), _LONGEST_WAIT))
    outside.attempts += 1
    return ended


# What is others there


def _retained(reading: Reading, state: State | None, desired: Desired) -> Reading:
    """Put what is gone at a store, and stays, to what was read there."""
    recorded = state.current.values if state else {}
    taken = {key for kept in reading.values.values() for key in kept.keys.values()} | desired.item_keys
    whole = {
        item.name: found
        for item in desired.pulled
        if item.spreads
        and not item.deletes
        and item.name in recorded
        and (found := reading.values[item.name].with_gone(recorded[item.name], taken))
    }
    if not whole:
        return reading
    # Another step of the same pass finds it done.
    return replace(reading, values={**reading.values, **whole}, retained=reading.retained | whole.keys())


def _changed(values: Mapping[str, ItemValues], observed: Observed, state: State | None) -> frozenset[str]:
    """Return the items that are others than in the current revision, and in the one that was given up."""
    if state is None:
        return frozenset()
    held = state.revision(observed.held.number) if observed.held else state.current
    if held is None:
        return frozenset()  # nobody knows any more what had failed
    return frozenset(
        name
        for name, kept in values.items()
        if all(_is_other(kept, one.values.get(name)) for one in (state.current, held))
    )


def _is_other(kept: ItemValues, before: ItemValues | None) -> bool:
    """Say whether it is another value, or of another loan, with which it ends."""
    return before is None or before.loan != kept.loan or before.data() != kept.data()


def _emptied(values: Mapping[str, ItemValues], state: State | None) -> Stalled | None:
    """Say which key would lose its content; a property that never had any may stay so."""
    there = state.current.data() if state else {}
    for name, kept in values.items():
        for key, value in kept.data().items():
            if not value.reveal() and key in there and there[key].reveal():
                return empty(f"{name}: what would go into the key {key!r}")
    return None
