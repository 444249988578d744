"""What an emergency asks of a managed secret, and what it lifts meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.emergency import Revoke
from keyturn.api.rollout import OnFailure
from keyturn.core.observation.emergency import DECLARED_WITHIN, EMERGENCY, Emergency

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import RevisionFacts

__all__ = [
    "COOL_DOWN",
    "asked_at",
    "is_fixed",
    "lifted",
    "published_at",
    "published_from",
    "renewed_by",
    "revokes_at_once",
    "was_published",
]

COOL_DOWN = timedelta(minutes=5)
"""After a rotation for one emergency none asks for the next, so that declaring them wears no service out."""
_CLAIMED = "Claimed"
_NO_LIMIT = 1_000_000
_A_MOMENT = timedelta(seconds=1)


def asked_at(observed: Observed, desired: Desired) -> tuple[Emergency, datetime] | None:
    """Return the first emergency that asks for new values, and from when on."""
    asking = (one for one in observed.emergencies if one.is_open and _asks(one, observed, desired))
    first = min(asking, key=lambda one: (one.started, one.name), default=None)
    if first is None or observed.state is None:
        return None
    made = [one.made for one in observed.state.revisions if one.reason == EMERGENCY]
    return first, max([first.started, *(time + COOL_DOWN for time in made)])


def lifted(desired: Desired, emergencies: Iterable[Emergency]) -> Desired:
    """Lift what would make a rotation slow, or bring back what is exposed, for as long as an emergency presses.

    The order of the waves stays. Windows stay as well: an emergency asks at any time, and nobody else does.
    """
    pressing = [one for one in emergencies if one.presses]
    if not pressing:
        return desired
    at_once = any(one.revoke is Revoke.IMMEDIATELY for one in pressing)
    return replace(
        desired,
        overlap=timedelta(0) if at_once else min(desired.overlap, _A_MOMENT),
        debounce=timedelta(0),
        max_concurrent=_NO_LIMIT,
        on_failure=OnFailure.HOLD,
    )


def revokes_at_once(observed: Observed) -> bool:
    """Say whether no value before may stay readable, not even of a rotation that was under way."""
    return any(one.presses and one.revoke is Revoke.IMMEDIATELY for one in observed.emergencies)


def published_from(observed: Observed) -> datetime | None:
    """Return from when on a first publication is known to be newer than every declaration; None where it is now.

    In the second of a declaration it could not be told from what was there before, and would be rotated once more.
    """
    current = observed.current
    if current is None or current.reason == EMERGENCY or was_published(current, observed):
        return None
    ends = (one.started + DECLARED_WITHIN for one in observed.emergencies if one.is_open)
    return max((end for end in ends if observed.now < end), default=None)


# Which values are new


def _asks(emergency: Emergency, observed: Observed, desired: Desired) -> bool:
    if (
        observed.state is None
        or is_fixed(observed, desired)
        or not any(item.recipe for item in desired.items)
    ):
        return False
    return renewed_by(emergency, observed, desired) is None


def is_fixed(observed: Observed, desired: Desired) -> bool:
    return desired.shape.immutable and observed.target is not None and observed.target.immutable


def renewed_by(emergency: Emergency, observed: Observed, desired: Desired) -> RevisionFacts | None:
    """Return the revision with which every generated value is one that nobody could read before the emergency.

    A rotation that was under way and had published nothing counts: it is taken over, not doubled.
    """
    if observed.state is None:
        return None
    stale = {
        item.name: set(observed.state.keys[item.name].values())
        for item in desired.items
        if item.recipe and item.name in observed.state.names
    }
    for one in reversed(observed.state.revisions):
        if one.reason == _CLAIMED or not _is_since(one, emergency.started, observed):
            continue
        stale = {name: keys for name, keys in stale.items() if not keys & one.changed}
        # What a rotation for an emergency did not change cannot be changed.
        if not stale or (one.reason == EMERGENCY and one.made >= emergency.started):
            return one
    return None


def _is_since(one: RevisionFacts, started: datetime, observed: Observed) -> bool:
    """Say whether a revision is known to be newer than a declaration: of its second only what that asked for."""
    if one.reason == EMERGENCY and one.made >= started:
        return True
    if one.made >= started + DECLARED_WITHIN:
        return True
    published = published_at(one, observed)
    if published is not None:
        return published >= started + DECLARED_WITHIN
    return observed.current is one and not was_published(one, observed)


def published_at(one: RevisionFacts, observed: Observed) -> datetime | None:
    """Return when a revision was in the Secret for the first time, as far as that is known."""
    known = observed.state.publications if observed.state else ()
    times = [made.time for made in known if made.number == one.number]
    if (
        observed.is_published
        and observed.current
        and observed.current.number == one.number
        and observed.target
    ):
        times += [observed.target.published] if observed.target.published else []
    return min(times, default=None)


def was_published(one: RevisionFacts, observed: Observed) -> bool:
    return published_at(one, observed) is not None or (observed.managed.status.revision or 0) >= one.number
