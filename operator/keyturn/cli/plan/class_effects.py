"""Effects of new or changed SecretClasses on one existing ManagedSecret: due, overdue, violating or stalled.

Compares two observations of it, with the classes before and after the change.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.core.policy.rules import denies, joined_messages
from keyturn.core.rotation.schedule_dates import natural_due, spread_since
from keyturn.core.rotation.triggers import is_due_on_request, is_overdue, start_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.policy.rules import Violation

__all__ = ["Becomes", "Effect", "effects_of"]


class Becomes(enum.StrEnum):
    """What a ManagedSecret becomes, the most severe first."""

    STALLED = "Stalled"
    """The class and its spec contradict each other."""
    VIOLATING = "Violating"
    """It violates a rule of the class."""
    OVERDUE = "Overdue"
    """A rotation is due, at the latest at the end of the spread, and does not start although it could have."""
    DUE = "Due"
    """A rotation starts at a date of the spread or in the next window; or is reported as due, on request."""

    @property
    def rank(self) -> int:
        return list(Becomes).index(self)


@dataclass(frozen=True, slots=True)
class Effect:
    """One change of one ManagedSecret."""

    key: ObjectKey
    becomes: Becomes
    message: str = ""
    starts: datetime | None = None
    """When its rotation starts; None if none starts without a request or manual action."""


def effects_of(
    key: ObjectKey, before: Observed, after: Observed, *, is_held: bool = False
) -> Iterator[Effect]:
    """Yield what one ManagedSecret becomes; `is_held` if a rollback pauses its schedule."""
    if after.spec_error:
        if before.spec_error is None or before.spec_error.message != after.spec_error.message:
            yield Effect(key, Becomes.STALLED, f"{after.spec_error.reason}: {after.spec_error.message}")
        return
    if new := _new_violations(before, after):
        effect = "denied, so nothing is written" if denies(after.secret_class) else "reported"
        yield Effect(key, Becomes.VIOLATING, f"{effect}; {joined_messages(new)}")
    was, is_ = _standing(key, before, is_held=is_held), _standing(key, after, is_held=is_held)
    if is_ and (was is None or (was.becomes, was.message) != (is_.becomes, is_.message)):
        yield is_


def _new_violations(before: Observed, after: Observed) -> list[Violation]:
    """Return the violations that are new, or that only the new class denies."""
    stricter = denies(after.secret_class) and not denies(before.secret_class)
    known = {(one.rule, one.item) for one in before.violations if not stricter}
    return [one for one in after.violations if (one.rule, one.item) not in known]


def _standing(key: ObjectKey, observed: Observed, *, is_held: bool) -> Effect | None:
    """Return what the schedule makes of it now, or None if nothing is due."""
    due = natural_due(observed)
    if due is None or due > observed.now:
        return None
    if is_due_on_request(observed):
        return Effect(key, Becomes.DUE, "is reported as due, and rotates on request only (appliedBy: Nobody)")
    if obstacle := _obstacle(observed, is_held=is_held):
        is_late = is_overdue(observed) or spread_since(observed)
        return Effect(key, Becomes.OVERDUE if is_late else Becomes.DUE, obstacle)
    starts = start_time(observed)
    waits = starts is not None and starts > observed.now
    becomes = Becomes.OVERDUE if waits and is_overdue(observed) else Becomes.DUE
    return Effect(key, becomes, _when(observed, waits=waits), starts or observed.now)


def _when(observed: Observed, *, waits: bool) -> str:
    if spread_since(observed):
        return "rotates later, spread by rotation.spread"
    return "rotates when a window opens" if waits else "rotates at once"


def _obstacle(observed: Observed, *, is_held: bool) -> str | None:
    """Return why a due rotation does not start."""
    if observed.managed.spec.suspend:
        return "does not rotate while it is suspended"
    if is_held:
        return "does not rotate while it is held after a rollback"
    if denies(observed.secret_class) and any(not one.curable for one in observed.violations):
        return "does not rotate while the class denies it"
    return None
