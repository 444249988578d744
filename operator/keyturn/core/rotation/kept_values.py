"""Previous values of an overlap: which ones a new revision keeps, and which reasons wait so as not to drop one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.core.reasons import RevisionReason
from keyturn.core.spec.desired import previous_key
from keyturn.core.state.revision import last_good

from .publication import is_current_published
from .rollout import any_failed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import ItemValues
    from keyturn.core.state.state import State

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


def overlap_end(observed: Observed, desired: Desired) -> datetime | None:
    """Return when the overlap ends that a rotation waits for; None without one, or before it has begun."""
    is_kept = not desired.rotates.isdisjoint(kept_items(observed, desired))
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
