"""What an emergency asks of a managed secret, and what it lifts meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from keyturn.api.emergency import Revoke
from keyturn.api.rollout import OnFailure
from keyturn.core.spec.selector import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from keyturn.api.emergency import EmergencyRotation
    from keyturn.api.selector import LabelSelector
    from keyturn.core.observation.observed import Seen
    from keyturn.core.spec.desired import Wanted
    from keyturn.core.state.revision import RevisionFacts

__all__ = [
    "COOL_DOWN",
    "DECLARED_WITHIN",
    "EMERGENCY",
    "Emergency",
    "Scope",
    "asked_at",
    "concerns",
    "is_fixed",
    "lifted",
    "published_at",
    "published_from",
    "renewed_by",
    "revokes_at_once",
    "was_published",
]

EMERGENCY = "Emergency"
"""The reason of a revision that an emergency asked for."""
COOL_DOWN = timedelta(minutes=5)
"""After a rotation for one emergency none asks for the next, so that declaring them wears no service out."""
_CLAIMED = "Claimed"
_NO_LIMIT = 1_000_000
_A_MOMENT = timedelta(seconds=1)
DECLARED_WITHIN = timedelta(seconds=1)
"""What the API server leaves out of the time at which an emergency was declared."""


@dataclass(frozen=True, slots=True)
class Emergency:
    """A declared emergency, as one of the secrets that it concerns sees it."""

    name: str
    uid: str
    started: datetime
    revoke: Revoke = Revoke.IMMEDIATELY
    is_open: bool = True
    """Not every service of all its secrets runs on new values yet."""
    is_through: bool = False
    """This secret is done with it."""

    @property
    def presses(self) -> bool:
        return self.is_open and not self.is_through


@dataclass(frozen=True, slots=True)
class Scope:
    """Which ManagedSecrets of its namespace an emergency concerns.

    Whom it took in once, it keeps; when every service is updated, it takes in nobody else.
    """

    names: frozenset[str]
    selector: LabelSelector | None = None

    @classmethod
    def of(cls, emergency: EmergencyRotation) -> Self:
        spec, status = emergency.spec, emergency.status
        kept = frozenset(one.name for one in status.secrets)
        if status.services_updated_at is not None:
            return cls(kept)
        return cls(kept | frozenset(spec.names or ()), None if spec.names is not None else spec.selector)

    def concerns(self, name: str, labels: Mapping[str, str]) -> bool:
        return name in self.names or (self.selector is not None and selects(self.selector, labels))


def concerns(emergency: EmergencyRotation, name: str, labels: Mapping[str, str]) -> bool:
    """Say whether an emergency concerns a ManagedSecret of its namespace."""
    return Scope.of(emergency).concerns(name, labels)


def asked_at(seen: Seen, wanted: Wanted) -> tuple[Emergency, datetime] | None:
    """Return the first emergency that asks for new values, and from when on."""
    asking = (one for one in seen.emergencies if one.is_open and _asks(one, seen, wanted))
    first = min(asking, key=lambda one: (one.started, one.name), default=None)
    if first is None or seen.state is None:
        return None
    made = [one.made for one in seen.state.revisions if one.reason == EMERGENCY]
    return first, max([first.started, *(time + COOL_DOWN for time in made)])


def lifted(wanted: Wanted, emergencies: Iterable[Emergency]) -> Wanted:
    """Lift what would make a rotation slow, or bring back what is exposed, for as long as an emergency presses.

    The order of the waves stays. Windows stay as well: an emergency asks at any time, and nobody else does.
    """
    pressing = [one for one in emergencies if one.presses]
    if not pressing:
        return wanted
    at_once = any(one.revoke is Revoke.IMMEDIATELY for one in pressing)
    return replace(
        wanted,
        overlap=timedelta(0) if at_once else min(wanted.overlap, _A_MOMENT),
        debounce=timedelta(0),
        max_concurrent=_NO_LIMIT,
        on_failure=OnFailure.HOLD,
    )


def revokes_at_once(seen: Seen) -> bool:
    """Say whether no value before may stay readable, not even of a rotation that was under way."""
    return any(one.presses and one.revoke is Revoke.IMMEDIATELY for one in seen.emergencies)


def published_from(seen: Seen) -> datetime | None:
    """Return from when on a first publication is known to be newer than every declaration; None where it is now.

    In the second of a declaration it could not be told from what was there before, and would be rotated once more.
    """
    current = seen.current
    if current is None or current.reason == EMERGENCY or was_published(current, seen):
        return None
    ends = (one.started + DECLARED_WITHIN for one in seen.emergencies if one.is_open)
    return max((end for end in ends if seen.now < end), default=None)


# Which values are new


def _asks(emergency: Emergency, seen: Seen, wanted: Wanted) -> bool:
    if seen.state is None or is_fixed(seen, wanted) or not any(item.recipe for item in wanted.items):
        return False
    return renewed_by(emergency, seen, wanted) is None


def is_fixed(seen: Seen, wanted: Wanted) -> bool:
    return wanted.shape.immutable and seen.target is not None and seen.target.immutable


def renewed_by(emergency: Emergency, seen: Seen, wanted: Wanted) -> RevisionFacts | None:
    """Return the revision with which every generated value is one that nobody could read before the emergency.

    A rotation that was under way and had published nothing counts: it is taken over, not doubled.
    """
    if seen.state is None:
        return None
    stale = {
        item.name: set(seen.state.keys[item.name].values())
        for item in wanted.items
        if item.recipe and item.name in seen.state.names
    }
    for one in reversed(seen.state.revisions):
        if one.reason == _CLAIMED or not _is_since(one, emergency.started, seen):
            continue
        stale = {name: keys for name, keys in stale.items() if not keys & one.changed}
        # What a rotation for an emergency did not change cannot be changed.
        if not stale or (one.reason == EMERGENCY and one.made >= emergency.started):
            return one
    return None


def _is_since(one: RevisionFacts, started: datetime, seen: Seen) -> bool:
    """Say whether a revision is known to be newer than a declaration: of its second only what that asked for."""
    if one.reason == EMERGENCY and one.made >= started:
        return True
    if one.made >= started + DECLARED_WITHIN:
        return True
    published = published_at(one, seen)
    if published is not None:
        return published >= started + DECLARED_WITHIN
    return seen.current is one and not was_published(one, seen)


def published_at(one: RevisionFacts, seen: Seen) -> datetime | None:
    """Return when a revision was in the Secret for the first time, as far as that is known."""
    known = seen.state.publications if seen.state else ()
    times = [made.time for made in known if made.number == one.number]
    if seen.is_published and seen.current and seen.current.number == one.number and seen.target:
        times += [seen.target.published] if seen.target.published else []
    return min(times, default=None)


def was_published(one: RevisionFacts, seen: Seen) -> bool:
    return published_at(one, seen) is not None or (seen.managed.status.revision or 0) >= one.number
