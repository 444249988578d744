"""Why a managed secret gets new values: every reason there is, each a named check.

A value changes for these reasons and no other; a restart of the operator is none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .schedule import next_due

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from .seen import Seen
    from .state import StateFacts
    from .wanted import Wanted

__all__ = ["CREATED", "SPEC_CHANGED", "Reason", "due_time", "reason_to_renew"]

CREATED = "Created"
_LOST = "Lost"
SPEC_CHANGED = "SpecChanged"
_TRIGGERED = "Triggered"
_ROTATION_DUE = "RotationDue"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a new revision, and the values that are made anew for it."""

    name: str
    message: str
    fresh: frozenset[str]
    rotates: bool
    """It counts as a rotation: the interval starts again."""

    def joined(self, other: Reason) -> Reason:
        return Reason(self.name, self.message, self.fresh | other.fresh, self.rotates or other.rotates)


def secret_is_new(seen: Seen, wanted: Wanted, state: StateFacts | None) -> Reason | None:
    if state is not None or seen.managed.status.revision is not None:
        return None
    return Reason(CREATED, "the Secret is written for the first time", wanted.names, rotates=True)


def values_were_lost(seen: Seen, wanted: Wanted, state: StateFacts | None) -> Reason | None:
    if state is not None or seen.managed.status.revision is None:
        return None
    return Reason(_LOST, "the Secret and its state are gone; new values are made", wanted.names, rotates=True)


def items_were_added(_: Seen, wanted: Wanted, state: StateFacts | None) -> Reason | None:
    added = wanted.names - state.names if state else frozenset()
    if not added:
        return None
    return Reason(SPEC_CHANGED, f"data has new items: {_list(added)}", added, rotates=False)


def items_were_removed(_: Seen, wanted: Wanted, state: StateFacts | None) -> Reason | None:
    removed = state.names - wanted.names if state else frozenset()
    if not removed:
        return None
    return Reason(SPEC_CHANGED, f"data no longer has: {_list(removed)}", frozenset(), rotates=False)


def recipe_refuses_value(seen: Seen, _: Wanted, state: StateFacts | None) -> Reason | None:
    if state is None or not seen.unfit:
        return None
    return Reason(
        SPEC_CHANGED, f"the spec asks for other values: {_list(seen.unfit)}", seen.unfit, rotates=False
    )


def renewal_was_requested(seen: Seen, wanted: Wanted, state: StateFacts | None) -> Reason | None:
    if state is None or not state.triggers.unhandled(seen.requested):
        return None
    return Reason(_TRIGGERED, "a new trigger asks for it", wanted.rotates, rotates=True)


def rotation_is_due(seen: Seen, wanted: Wanted, state: StateFacts | None) -> Reason | None:
    due = due_time(seen)
    if state is None or due is None or seen.now < due:
        return None
    return Reason(_ROTATION_DUE, f"was due at {due:%Y-%m-%d %H:%M} UTC", wanted.rotates, rotates=True)


RENEW_CHECKS: tuple[Callable[[Seen, Wanted, StateFacts | None], Reason | None], ...] = (
    secret_is_new,
    values_were_lost,
    items_were_added,
    items_were_removed,
    recipe_refuses_value,
    renewal_was_requested,
    rotation_is_due,
)


def reason_to_renew(seen: Seen, wanted: Wanted) -> Reason | None:
    """Join every reason that speaks into one, named after the first, so that one revision serves them all."""
    spoken = [reason for check in RENEW_CHECKS if (reason := check(seen, wanted, seen.state))]
    if not spoken:
        return None
    first, *others = spoken
    for other in others:
        first = first.joined(other)
    return first


def due_time(seen: Seen) -> datetime | None:
    """Return when the next rotation by schedule is due."""
    if seen.state is None or seen.wanted is None or not seen.wanted.rotates:
        return None
    return next_due(seen.wanted.cadence, seen.state.rotated, seen.uid)


def _list(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
