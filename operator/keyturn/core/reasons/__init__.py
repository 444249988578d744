"""Reasons: the codes of conditions, revisions, workloads, Events and metrics, each with its sentence.

The tables of the documentation and the lists in the CRDs' descriptions are generated from these enums.

Modules
    errors       why a reconcile stalls or waits, and the remedy
    conditions   base class: a code with its sentence; reasons of conditions without an error, and of workloads
    events       reasons of Events, of an emergency's timeline, and of revisions

Imports nothing of Keyturn.
"""

from __future__ import annotations

from .conditions import (
    ClassReason,
    Code,
    ConditionReason,
    EmergencyReason,
    StoreReason,
    TargetReason,
    WorkloadReason,
)
from .errors import ErrorReason
from .events import EventReason, RevisionReason, RevisionResult, TimelineReason

__all__ = [
    "ClassReason",
    "Code",
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
