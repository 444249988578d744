"""Reasons: the codes of conditions, revisions, workloads, Events and metrics.

The text below a code is its row in the tables of the documentation, in Markdown, with | between the cells. The lists
in the CRDs' descriptions are generated from these enums, too.

Modules
    errors       why a reconcile stalls or waits, and the remedy
    conditions   all others

Imports nothing of Keyturn.
"""

from .conditions import (
    ClassReason,
    ConditionReason,
    EmergencyReason,
    EventReason,
    RevisionReason,
    RevisionResult,
    StoreReason,
    TargetReason,
    TimelineReason,
    WorkloadReason,
)
from .errors import ErrorReason

__all__ = [
    "ClassReason",
    "ConditionReason",
    "EmergencyReason",
    "ErrorReason",
    "EventReason",
    "RevisionReason",
    "RevisionResult",
    "StoreReason",
    "TargetReason",
    "TimelineReason",
    "WorkloadReason",
]
