"""Reason for a new revision, with the values that are generated for it."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.core.reasons import RevisionReason

__all__ = ["Reason"]


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
        return self.name in {RevisionReason.ROTATION_DUE, RevisionReason.ENDING}

    def joined(self, other: Reason) -> Reason:
        return Reason(self.name, self.message, self.fresh | other.fresh, self.rotates or other.rotates)
