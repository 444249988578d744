"""EmergencyRotation: a declared incident, what is rotated at once, and its clock."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import pydantic

from .base import Schema, rules
from .meta import Conditions, Metadata, Name, ObservedGeneration
from .selector import LabelSelector
from .spelled import Spelled

__all__ = [
    "AffectedSecret",
    "AffectedState",
    "Deadlines",
    "EmergencyRotation",
    "EmergencyRotationSpec",
    "EmergencyRotationStatus",
    "Revoke",
    "TimelineEntry",
]


class Revoke(StrEnum):
    """When the values before stop being readable."""

    IMMEDIATELY = "Immediately"
    AFTER_ROLLOUT = "AfterRollout"


def _line(what: str, longest: int) -> Spelled:
    """Take one line of text: it goes into events, tables and documents."""
    return Spelled(
        r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$",
        f"write {what} in one line, without control characters",
        longest,
    )


_ONE_CHOICE = (
    "has(self.selector) != has(self.names)",
    "write exactly one of selector and names; selector: {} takes every ManagedSecret of the namespace",
)
_IS_A_RECORD = (
    "self == oldSelf",
    "an emergency is a record and cannot be changed; declare another one",
)


class EmergencyRotationSpec(Schema):
    """What has happened, and which secrets are rotated at once for it; it cannot be changed."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ONE_CHOICE, _IS_A_RECORD))

    reason: Annotated[str, _line("what has happened", 1024)]
    """What has happened, in one line that everybody may read."""
    incident: Annotated[str, _line("the incident's number", 128)] | None = None
    """The incident's number elsewhere, such as INC-2026-042; the same in each namespace that it concerns."""
    contact: Annotated[str, _line("whom to ask", 256)] | None = None
    """Whom to ask, such as a mail address or a telephone number."""
    selector: LabelSelector | None = None
    """Which ManagedSecrets of this namespace are rotated, by their labels; an empty selector takes all of them."""
    names: list[Name] | None = pydantic.Field(
        None, min_length=1, max_length=500, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """Which ManagedSecrets of this namespace are rotated, by their names."""
    revoke: Revoke | None = None
    """Immediately (where absent) lets no old value be read any more; AfterRollout waits for the workloads."""


class AffectedState(StrEnum):
    """How far one secret of an emergency is."""

    PENDING = "Pending"
    ROTATED = "Rotated"
    ROLLED_OUT = "RolledOut"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    STALLED = "Stalled"
    NOTHING_TO_ROTATE = "NothingToRotate"
    NOT_FOUND = "NotFound"


class AffectedSecret(Schema):
    """One ManagedSecret of an emergency."""

    name: str
    """The name of the ManagedSecret."""
    state: AffectedState
    """Pending, Rotated, RolledOut, Failed, Suspended, Stalled, NothingToRotate or NotFound."""
    revision: int | None = None
    """The revision with which its values are new."""
    rotated_at: datetime | None = None
    """When the new values were in the Secret."""
    updated_at: datetime | None = None
    """When every workload was seen to run on them."""
    message: str | None = pydantic.Field(None, max_length=1024)
    """What it waits for, or what is to be done elsewhere."""


class TimelineEntry(Schema):
    """Something that happened, once or several times."""

    time: datetime
    """When it happened first."""
    until: datetime | None = None
    """When it happened last, where that was more than once."""
    count: int | None = None
    """How often it happened, where that was more than once."""
    reason: str
    """One word for what happened, such as Rotated."""
    what: str
    """What happened, in a sentence."""
    who: str
    """Who did it: the operator, the field manager of the declaration, or who acknowledges."""


class Deadlines(Schema):
    """When each part has to be done."""

    rotated: datetime
    """Every secret is rotated: at once, which is within a minute."""
    services_updated: datetime
    """Every workload runs on the new values: within an hour."""
    access_audited: datetime
    """Who read the secrets is known and acknowledged: within 24 hours."""
    documented: datetime
    """The incident is documented and that is acknowledged: within 48 hours."""


class EmergencyRotationStatus(Schema):
    """How far the emergency is, by the clock that began with its declaration."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status speaks of."""
    started_at: datetime | None = None
    """When the emergency was declared."""
    deadlines: Deadlines | None = None
    """When each part has to be done."""
    due_at: datetime | None = None
    """The first of the deadlines that is not met yet."""
    rotated_at: datetime | None = None
    """When every secret was rotated."""
    services_updated_at: datetime | None = None
    """When every workload ran on the new values."""
    access_audit_at: datetime | None = None
    """When the access audit was acknowledged."""
    documented_at: datetime | None = None
    """When the incident document was acknowledged."""
    progress: str | None = None
    """How many of the secrets are rotated, such as 2/3."""
    report_name: str | None = None
    """The ConfigMap that holds the incident document."""
    secrets: list[AffectedSecret] = pydantic.Field(
        default_factory=list,
        max_length=2000,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The ManagedSecrets that are concerned, and how far each is."""
    timeline: list[TimelineEntry] = pydantic.Field(default_factory=list, max_length=500)
    """What happened, in order; nothing is ever taken out."""
    conditions: Conditions = pydantic.Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Rotated, ServicesUpdated, AccessAudited, Documented, Overdue; Reconciling and Stalled while they hold."""


class EmergencyRotation(Schema):
    """A declared incident: what is rotated at once, and its clock of 0, 1, 24 and 48 hours."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "self.metadata.name.size() <= 63",
                "the report is named after it; give it a name of at most 63 characters",
                ".metadata.name",
            ),
        )
    )

    metadata: Metadata
    spec: EmergencyRotationSpec
    """What has happened, and which secrets are rotated at once for it; it cannot be changed."""
    status: EmergencyRotationStatus = EmergencyRotationStatus()
    """How far the emergency is, by the clock that began with its declaration."""
