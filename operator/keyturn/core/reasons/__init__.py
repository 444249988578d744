"""Reasons: the codes of conditions, revisions, workloads, Events and metrics, each with its sentence.

The tables of the documentation and the lists in the CRDs' descriptions are generated from these enums.

Modules
    code         base class: a code with its sentence
    errors       why a reconcile stalls or waits, and the remedy
    conditions   reasons of conditions without an error
    events       reasons of Events and of an emergency's timeline
    revisions    reasons and results of revisions
    workloads    why a workload does not run the current revision

Imports nothing of Keyturn.
"""

from __future__ import annotations

from .code import Code
from .conditions import ClassReason, ConditionReason, EmergencyReason, StoreReason, TargetReason
from .errors import ErrorReason
from .events import EventReason, TimelineReason
from .revisions import RevisionReason, RevisionResult
from .workloads import WorkloadReason

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
