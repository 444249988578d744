"""Reasons of a revision: the codes that history, events and metrics carry."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CLAIMED",
    "CREATED",
    "ENDING",
    "LOST",
    "REFRESHED",
    "ROTATION_DUE",
    "SPEC_CHANGED",
    "TRIGGERED",
    "Reason",
]


CREATED = "Created"
CLAIMED = "Claimed"
LOST = "Lost"
SPEC_CHANGED = "SpecChanged"
REFRESHED = "Refreshed"
TRIGGERED = "Triggered"
ROTATION_DUE = "RotationDue"
ENDING = "Ending"


@dataclass(frozen=True, slots=True)
class Reason:
    """Reason for a new revision, and the values that are generated for it."""

    name: str
    message: str
    fresh: frozenset[str]
    rotates: bool
    """It counts as a rotation: the interval restarts."""

    @property
    def by_itself(self) -> bool:
        """Whether it is due by time, without a request."""
        return self.name in {ROTATION_DUE, ENDING}

    def joined(self, other: Reason) -> Reason:
        return Reason(self.name, self.message, self.fresh | other.fresh, self.rotates or other.rotates)
