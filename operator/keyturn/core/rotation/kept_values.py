"""Previous values of an overlap: which ones a new revision keeps, and which reasons wait so as not to drop one.

Changes of the spec wait for reads of stores as well, so that no key is lost until they answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import is_spread, previous_key
from keyturn.core.state.revision import ItemValues, is_found, last_good
from keyturn.core.state.state import State, StateFacts

from .publication import is_current_published
from .rollout import any_failed
from .steps import Reason

_ROUTINE = frozenset({RevisionReason.TRIGGERED, RevisionReason.ROTATION_DUE})


def kept_items(observed: Observed, desired: Desired) -> frozenset[str]:
    """Return the items whose previous value the Secret has, or a template of it, in a place that has room for one."""
    current, state = observed.current, observed.state
    if current is None or state is None or not current.keeps_previous:
        return frozenset()
    kept = {
        item.name
        for item in desired.items
        for key in state.keys.get(item.name, item.keys).values()
        if item.keep_previous and previous_key(key) in current.previous
    }
    if desired.reads_previous and not current.previous.isdisjoint(desired.templates):
        kept |= {item.name for item in desired.items if item.recipe}
    return frozenset(kept)


def drops_kept_value(reason: Reason, observed: Observed, desired: Desired) -> bool:
    """Whether a revision for this reason would drop a previous value too soon, so that it waits.

    A rotation waits until the overlap of that value is over, and a change of the spec until it has begun, when no pod
    holds it any more. A revision that no pod can have, or that workloads fail with, is superseded at once.
    """
    if observed.current is None or reason.fresh.isdisjoint(kept_items(observed, desired)):
        return False
    if reason.name in _ROUTINE:
        return True
    if reason.name != RevisionReason.SPEC_CHANGED or observed.current.valid_until:
        return False
    return is_current_published(observed, desired) and not any_failed(observed)


def overlap_end(values: frozenset[str], observed: Observed, desired: Desired) -> datetime | None:
    """Return when the overlap ends that a rotation of these values waits for; None before it has begun."""
    is_kept = not values.isdisjoint(kept_items(observed, desired))
    return observed.current.valid_until if observed.current and is_kept else None


def held_values(state: State, observed: Observed, desired: Desired) -> Mapping[str, ItemValues]:
    """Return the values that pods hold and that stay readable next to new ones.

    Before the overlap of the current revision begins, and if it was never published, those are the values of the last
    revision on which every workload ran; without a record of these, what the current one keeps of them.
    """
    current, before = state.facts.current, carried_values(state)
    is_published = is_current_published(observed, desired)
    if is_published and (current.valid_until or not current.keeps_previous):
        return before
    good = state.revisions.get(last_good(current, state.facts.revisions) or 0)
    kept = {name: replace(one, outputs=one.previous or one.earlier) for name, one in before.items()}
    held = {name: one.settled() for name, one in (good.values if good else kept).items() if one.outputs}
    return {**before, **held} if is_published else held


def carried_values(state: State | None) -> Mapping[str, ItemValues]:
    """Return the current values without those that an ended overlap kept readable."""
    if state is None:
        return {}
    values, ended = state.current.values, state.facts.current.ended
    return {name: kept.settled() if ended else kept for name, kept in values.items()}


_PRESSING = frozenset({RevisionReason.EMERGENCY, RevisionReason.ENDING})
"""Reasons that do not wait for a store that cannot be read: the present values are exposed, or expire."""
_ROTATIONS = frozenset({RevisionReason.TRIGGERED, RevisionReason.ROTATION_DUE})
"""Reasons that do not wait either if a removed item alone makes entries of dataFrom awaited: its values stay."""


def freed_keys(desired: Desired, state: StateFacts) -> frozenset[str]:
    """Return the keys of recorded items of `data` that no item of the spec has; entries of dataFrom may have them."""
    before = {
        key
        for name, keys in state.keys.items()
        if not (is_spread(name) or is_found(name))
        for key in keys.values()
    }
    return frozenset(before - desired.item_keys)


def entries_to_read(observed: Observed, desired: Desired, state: StateFacts) -> frozenset[str]:
    """Return the entries of dataFrom whose recorded values are not those of the changed spec.

    Their names have their places, so that an entry may have the values of another one. Keys of `data` take precedence
    over those of dataFrom, so a key that `data` no longer has may be one of any entry.
    """
    known = frozenset(item.name for item in desired.items if item.spreads and item.name in state.names)
    return known if freed_keys(desired, state) else known & observed.mismatched_items


def without_awaited(reasons: list[Reason], observed: Observed, desired: Desired) -> list[Reason]:
    """Return the pressing reasons alone if the others wait for stores that cannot be read.

    A rotation is pressing as well if a revision before the read keeps all that is awaited. The rest of the change,
    such as an added item, follows when they are read. A first read, which is in progress, is awaited.
    """
    problem = observed.pulled.problem
    if observed.state is None or problem is None or problem.reason == ErrorReason.READING_STORES:
        return reasons
    pulled = frozenset(item.name for item in desired.pulled)
    awaited = frozenset(name for reason in reasons for name in reason.fresh & pulled)
    names = _PRESSING | _ROTATIONS if _are_kept(awaited, observed, desired, observed.state) else _PRESSING
    pressing = [replace(reason, awaited=awaited) for reason in reasons if reason.name in names]
    return pressing if awaited and pressing else reasons


def _are_kept(awaited: frozenset[str], observed: Observed, desired: Desired, state: StateFacts) -> bool:
    """Whether a revision before the read keeps every awaited key: none is of an added item, or of a renamed one."""
    is_renamed = any(desired.keys.get(name, keys) != keys for name, keys in state.keys.items())
    return not is_renamed and awaited <= entries_to_read(observed, desired, state)
