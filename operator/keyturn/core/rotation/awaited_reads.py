"""Reads of stores that a change of the spec waits for, so that no key is lost until they answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.core.reasons import ErrorReason, RevisionReason
from keyturn.core.spec.desired import is_spread
from keyturn.core.state.revision import is_found

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import StateFacts

    from .steps import Reason

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
