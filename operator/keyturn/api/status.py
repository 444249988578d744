"""What `kubectl get managedsecret` shows: the status of a ManagedSecret."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import pydantic

from .base import Schema
from .meta import Conditions, ObservedGeneration

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "MOST_WORKLOADS",
    "HistoryEntry",
    "ManagedSecretStatus",
    "PreviousStatus",
    "RotationStatus",
    "Via",
    "WorkloadKind",
    "WorkloadState",
    "WorkloadStatus",
]

MOST_WORKLOADS = 1000


class WorkloadKind(StrEnum):
    """The kinds of workload that are rolled."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"


class Via(StrEnum):
    """How a pod template uses a Secret."""

    ENV = "env"
    ENV_FROM = "envFrom"
    VOLUME = "volume"
    PROJECTED = "projected"
    IMAGE_PULL_SECRET = "imagePullSecret"  # noqa: S105 - the field's name


class WorkloadState(StrEnum):
    """How far a workload is."""

    CURRENT = "Current"
    PENDING = "Pending"
    ROLLING = "Rolling"
    FAILED = "Failed"


class RotationStatus(Schema):
    """A rotation that is under way."""

    id: str
    """What names this rotation for ever: the object's UID and the revision it makes."""
    reason: str
    """Why the values are replaced."""
    step: str
    """The step that comes next."""
    started_at: datetime
    """When the rotation was decided."""
    attempts: int = 0
    """How often the step failed."""
    message: str | None = None
    """What the step waits for."""


class WorkloadStatus(Schema):
    """A workload that consumes the Secret."""

    kind: WorkloadKind
    """Deployment, StatefulSet or DaemonSet."""
    name: str
    """The name of the workload."""
    via: list[Via] = pydantic.Field(default_factory=list)
    """How it uses the Secret."""
    state: WorkloadState
    """Current, Pending, Rolling or Failed."""
    revision: int | None = None
    """The revision that its pod template carries."""
    restarted: int | None = None
    """The revision that it was restarted for, where somebody has taken that off its pod template since."""
    terminating: int | None = None
    """How many pods with earlier values are terminating, where their end is waited for without a deadline."""
    message: str | None = None
    """What it waits for."""


class HistoryEntry(Schema):
    """A revision that was made."""

    revision: int
    """The number of the revision."""
    reason: str
    """Why it was made."""
    started_at: datetime
    """When its values were made."""
    finished_at: datetime
    """When every workload ran on it."""
    result: str
    """Succeeded; RolledBack where it was given up; Superseded where a newer one came before all ran on it."""


class PreviousStatus(Schema):
    """The revision before, while its values are still valid."""

    revision: int
    """The number of the revision."""
    valid_until: datetime | None = None
    """When the overlap ends; known from when every workload runs on the current revision."""


class ManagedSecretStatus(Schema):
    """What the operator last saw and did."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status speaks of."""
    secret_name: str | None = None
    """The Secret that was written."""
    revision: int | None = None
    """The revision that the Secret holds: 1, 2, and so on."""
    last_rotation_time: datetime | None = None
    """When generated values were last made anew."""
    next_rotation_time: datetime | None = None
    """When the next rotation by schedule is due."""
    overdue: bool | None = None
    """Whether a rotation is due and not done."""
    last_trigger: str | None = None
    """The trigger that was handled last."""
    last_refresh_time: datetime | None = None
    """When pulled values were last taken in, or read on request; a read that finds the same writes nothing."""
    last_refresh: str | None = None
    """The annotation keyturn.dev/refresh that was handled last."""
    rotation: RotationStatus | None = None
    """The rotation that is under way."""
    previous: PreviousStatus | None = None
    """The revision before, while its values are still valid."""
    workloads: list[WorkloadStatus] = pydantic.Field(default_factory=list, max_length=MOST_WORKLOADS)
    """The workloads that consume the Secret, and how far each is."""
    history: list[HistoryEntry] = pydantic.Field(default_factory=list, max_length=10)
    """The last ten revisions, the newest first."""
    conditions: Conditions = pydantic.Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Ready, Rotating, WorkloadsCurrent, PolicyCompliant, Refreshed, Pushed; Reconciling, Stalled while they hold."""

    @cached_property
    def by_workload(self) -> Mapping[tuple[str, str], WorkloadStatus]:
        """The workloads by kind and name; each of a thousand is looked up in each look."""
        return {(one.kind, one.name): one for one in self.workloads}
