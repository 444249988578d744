"""Deadlines of an emergency for display: completed, overdue, and time left."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from keyturn.core.emergency.deadlines import deadlines_of
from keyturn.core.times import length, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.api.emergency import EmergencyRotation

__all__ = ["Clock", "Hand", "Pace", "clock_of"]

_LABELS: Final[Mapping[str, str]] = {
    "Rotated": "Secrets rotated",
    "ServicesUpdated": "Services updated",
    "AccessAudited": "Access audited",
    "Documented": "Documented",
}
_NEAR_SHARE: Final = 4
"""A deadline is near when less than a quarter of its time is left."""


class Pace(StrEnum):
    """State of one deadline."""

    DONE = "done"
    DONE_LATE = "done-late"
    OPEN = "open"
    NEAR = "near"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Hand:
    """One deadline of an emergency."""

    label: str
    pace: Pace
    words: str
    time: datetime
    """When it was completed, or is due."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Display of one emergency."""

    namespace: str
    name: str
    reason: str
    incident: str
    contact: str
    contacts: tuple[tuple[str, str], ...]
    """Roles and contacts of the organisation."""
    progress: str
    started: datetime
    hands: tuple[Hand, ...]
    trouble: str
    """Why manual action is required; empty if it is not."""

    @property
    def is_closed(self) -> bool:
        return all(hand.pace in {Pace.DONE, Pace.DONE_LATE} for hand in self.hands)

    @property
    def is_late(self) -> bool:
        return any(hand.pace is Pace.LATE for hand in self.hands)


def clock_of(emergency: EmergencyRotation, now: datetime) -> Clock:
    """Compute the deadlines at `now`: a stopped operator updates no status."""
    spec, status = emergency.spec, emergency.status
    stalled = (one.message for one in status.conditions if (one.type, one.status) == ("Stalled", "True"))
    return Clock(
        namespace=emergency.metadata.namespace,
        name=emergency.metadata.name,
        reason=spec.reason,
        incident=spec.incident or "",
        contact=spec.contact or "",
        contacts=tuple((status.contacts or {}).items()),
        progress=status.progress or "",
        started=emergency.metadata.creation_timestamp or now,
        hands=tuple(_hands(emergency, now)),
        trouble=next(stalled, ""),
    )


def _hands(emergency: EmergencyRotation, now: datetime) -> list[Hand]:
    status, started = emergency.status, emergency.metadata.creation_timestamp or now
    stamps = (status.rotated_at, status.services_updated_at, status.access_audit_at, status.documented_at)
    deadlines = deadlines_of(started).items()
    return [
        _hand(_LABELS[stage], stamp, due, started, now)
        for (stage, due), stamp in zip(deadlines, stamps, strict=True)
    ]


def _hand(label: str, stamp: datetime | None, due: datetime, started: datetime, now: datetime) -> Hand:
    if stamp is None:
        is_near = due - now < (due - started) / _NEAR_SHARE
        pace = Pace.LATE if now > due else Pace.NEAR if is_near else Pace.OPEN
        return Hand(label, pace, until(due, now), due)
    words = f"after {length(stamp - started)}"
    if stamp > due:
        return Hand(label, Pace.DONE_LATE, f"{words}, {length(stamp - due)} late", stamp)
    return Hand(label, Pace.DONE, words, stamp)
