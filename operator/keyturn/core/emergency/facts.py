"""Facts of a declared emergency, the name of its report, and who acknowledged a stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.api.emergency import AffectedSecret, EmergencyRotation
    from keyturn.core.errors import Stalled

_MAX_NAME_LENGTH = 256


@dataclass(frozen=True, slots=True)
class EmergencyFacts:
    """Observation of an EmergencyRotation."""

    now: datetime
    """The API server's time."""
    emergency: EmergencyRotation
    declared_by: str
    rows: tuple[AffectedSecret, ...]
    trouble: Stalled | None = None
    """The error that keeps the report from being written."""
    refused: Stalled | None = None
    """The error that keeps the whole emergency from being handled."""
    contacts: Mapping[str, str] = field(default_factory=dict)
    """Contacts of the organisation by role."""
    lacks_document: bool = False
    """Whether every stage is reached, but the document does not have the last one."""

    @property
    def started(self) -> datetime:
        return self.emergency.metadata.creation_timestamp or self.now


def report_name(emergency: EmergencyRotation) -> str:
    return f"{emergency.metadata.name}-report"


def who_acknowledges(emergency: EmergencyRotation, annotation: str) -> str | None:
    """Return the name in an acknowledging annotation, on one line of at most 256 characters; None if it is empty."""
    value = emergency.metadata.annotations.get(annotation, "")
    clean = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(clean.split())[:_MAX_NAME_LENGTH] or None
