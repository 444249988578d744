"""Deadlines of the stages of an emergency."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

STAGES: Mapping[str, timedelta] = {
    "Rotated": timedelta(minutes=1),  # "at once"
    "ServicesUpdated": timedelta(hours=1),
    "AccessAudited": timedelta(hours=24),
    "Documented": timedelta(hours=48),
}
"""Deadline of each stage, from the declaration."""
NEAR: Mapping[str, timedelta] = {
    "ServicesUpdated": timedelta(minutes=15),
    "AccessAudited": timedelta(hours=4),
    "Documented": timedelta(hours=8),
}
"""Lead time of the warning before a deadline, as in the alert KeyturnEmergencyDeadline."""


def deadlines_of(started: datetime) -> Mapping[str, datetime]:
    return {stage: started + pause for stage, pause in STAGES.items()}
