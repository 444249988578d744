"""What is known of a declared emergency, and the deadlines that its declaration sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.api.emergency import AffectedSecret, EmergencyRotation
    from keyturn.core.errors import Stalled

__all__ = ["NEAR", "STAGES", "EmergencyFacts", "deadlines_of", "report_name", "who_acknowledges"]

_LONGEST_NAME = 256
STAGES: Mapping[str, timedelta] = {
    "Rotated": timedelta(minutes=1),  # "at once"
    "ServicesUpdated": timedelta(hours=1),
    "AccessAudited": timedelta(hours=24),
    "Documented": timedelta(hours=48),
}
"""What has to be done, and how long after the declaration."""
NEAR: Mapping[str, timedelta] = {
    "ServicesUpdated": timedelta(minutes=15),
    "AccessAudited": timedelta(hours=4),
    "Documented": timedelta(hours=8),
}
"""How long before its deadline a stage is told of, as the alert KeyturnEmergencyDeadlineNear does."""


@dataclass(frozen=True, slots=True)
class EmergencyFacts:
    """What one look at an emergency found."""

    now: datetime
    """By the API server's clock."""
    emergency: EmergencyRotation
    declared_by: str
    rows: tuple[AffectedSecret, ...]
    trouble: Stalled | None = None
    """What keeps the report from being written."""
    refused: Stalled | None = None
    """What keeps it from being followed at all."""

    @property
    def started(self) -> datetime:
        return self.emergency.metadata.creation_timestamp or self.now


def report_name(emergency: EmergencyRotation) -> str:
    return f"{emergency.metadata.name}-report"


def deadlines_of(started: datetime) -> Mapping[str, datetime]:
    return {stage: started + pause for stage, pause in STAGES.items()}


def who_acknowledges(emergency: EmergencyRotation, annotation: str) -> str | None:
    """Read a name that somebody has written into an annotation."""
    written = emergency.metadata.annotations.get(annotation, "")
    clean = "".join(letter if letter.isprintable() else " " for letter in written)
    return " ".join(clean.split())[:_LONGEST_NAME] or None
