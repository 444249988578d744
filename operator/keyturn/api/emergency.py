"""EmergencyRotation: an incident, the ManagedSecrets that are rotated at once, and its deadlines."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import pydantic

from .base import AS_SET, BY_TYPE, Schema, Spelled, rules
from .meta import Conditions, LabelSelector, Metadata, Name, ObservedGeneration


class Revoke(StrEnum):
    """When the previous values are removed from the Secret, and refused by a database server."""

    IMMEDIATELY = "Immediately"
    AFTER_ROLLOUT = "AfterRollout"


def _line(what: str, longest: int) -> Spelled:
    """Return the constraint of a single line of text, because it is copied into events, tables and documents."""
    return Spelled(
        r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0][^\x00-\x1f\x7f-\x9f]*$",
        f"write {what} in one line, without control characters",
        longest,
    )


_ITEM = Spelled("^[-._a-zA-Z0-9]+$", "write the name of an entry of data, such as jwt-secret", 253)
MOST_ITEMS = 50
"""Values that one emergency names at most."""
_ONE_CHOICE = (
    "has(self.selector) != has(self.names)",
    "write exactly one of selector and names; selector: {} takes every ManagedSecret of the namespace",
)
_IS_A_RECORD = (
    "self == oldSelf",
    "an emergency is a record and cannot be changed; declare another one",
)


class EmergencyRotationSpec(Schema):
    """The incident, and the secrets that are rotated for it; immutable."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ONE_CHOICE, _IS_A_RECORD))

    reason: Annotated[str, _line("what has happened", 1024)]
    """The reason for the emergency, in one line; visible in events and reports."""
    incident: Annotated[str, _line("the incident's number", 128)] | None = None
    """The number of the incident in another system, such as INC-2026-042; the same in each affected namespace."""
    contact: Annotated[str, _line("whom to ask", 256)] | None = None
    """The contact for questions, such as a mail address or a telephone number."""
    selector: LabelSelector | None = None
    """The ManagedSecrets of this namespace to rotate, by their labels; an empty selector takes all of them."""
    names: list[Name] | None = pydantic.Field(None, min_length=1, max_length=500, json_schema_extra=AS_SET)
    """The ManagedSecrets of this namespace to rotate, by their names."""
    items: list[Annotated[str, _ITEM]] | None = pydantic.Field(
        None, min_length=1, max_length=MOST_ITEMS, json_schema_extra=AS_SET
    )
    """The values to rotate, by their names in data, with those that are made from them; every value if absent."""
    revoke: Revoke | None = None
    """Immediately (the default) removes previous values and closes their database logins at once; AfterRollout waits
    for the workloads."""
    evict: bool | None = None
    """True evicts pods of Jobs and pods without an owner that hold exposed values; budgets are honoured."""


class AffectedState(StrEnum):
    """The progress of one ManagedSecret of an emergency."""

    PENDING = "Pending"
    ROTATED = "Rotated"
    ROLLED_OUT = "RolledOut"
    PODS_UNKNOWN = "PodsUnknown"
    RELOAD_UNPROVEN = "ReloadUnproven"
    FAILED = "Failed"
    SUSPENDED = "Suspended"
    STALLED = "Stalled"
    NOTHING_TO_ROTATE = "NothingToRotate"
    NOT_FOUND = "NotFound"

    @property
    def is_done(self) -> bool:
        """Whether the emergency waits for nothing more of the secret."""
        return self in {AffectedState.ROLLED_OUT, AffectedState.NOTHING_TO_ROTATE}


class AffectedLogin(Schema):
    """A login of a database account, with a password from before the declaration."""

    login: str
    """The name that logs in."""
    revision: int | None = None
    """The revision that brought its password; absent if the record of it is lost."""
    refused_at: datetime | None = None
    """When the database server was proven to refuse it; absent while it may be accepted."""
    message: str | None = pydantic.Field(None, max_length=1024)
    """Why it may still be accepted."""


class AffectedSecret(Schema):
    """The progress of one ManagedSecret of an emergency."""

    name: str
    """The name of the ManagedSecret."""
    state: AffectedState
    """Pending, Rotated, RolledOut, PodsUnknown, ReloadUnproven, Failed, Suspended, Stalled, NothingToRotate or
    NotFound."""
    revision: int | None = None
    """The first revision whose values are all new."""
    rotated_at: datetime | None = None
    """When the new values were written to the Secret."""
    updated_at: datetime | None = None
    """When no pod, store or database login had earlier values any more."""
    message: str | None = pydantic.Field(None, max_length=1024)
    """What it waits for, or the manual action that is required."""
    elsewhere: int | None = None
    """How many of its values are to be rotated elsewhere: at their stores, or in the adopted Secret."""
    items: list[str] | None = None
    """Its values that the emergency names; absent if the emergency takes every value."""
    logins: list[AffectedLogin] | None = pydantic.Field(None, max_length=8)
    """The database logins with exposed passwords, and when the server was proven to refuse each."""


class TimelineEntry(Schema):
    """An entry of the timeline: an event, once or repeated."""

    time: datetime
    """When it happened first."""
    until: datetime | None = None
    """When it happened last, if more than once."""
    count: int | None = None
    """How often it happened, if more than once."""
    reason: str
    """The kind of event: {TimelineReason}."""
    what: str
    """A description in one sentence."""
    who: str
    """The operator; or the field manager of the declaration, or the name in an acknowledgement, neither verified."""


class Deadlines(Schema):
    """The deadlines of an emergency, counted from its declaration."""

    rotated: datetime
    """Every secret is rotated: one minute after the declaration."""
    services_updated: datetime
    """Every workload runs on the new values: one hour after the declaration."""
    access_audited: datetime
    """The access audit is acknowledged: 24 hours after the declaration."""
    documented: datetime
    """The incident document is acknowledged: 48 hours after the declaration."""


class EmergencyRotationStatus(Schema):
    """The progress of the emergency and its deadlines."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status describes."""
    started_at: datetime | None = None
    """When the emergency was declared."""
    deadlines: Deadlines | None = None
    """The deadline of each stage."""
    due_at: datetime | None = None
    """The earliest deadline that is not met yet."""
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
    """The ConfigMap with the incident document; absent while it cannot be written or lacks the last stage."""
    contacts: dict[str, str] | None = pydantic.Field(None, max_length=16)
    """The contacts of the organisation by role, from the operator's option --contacts."""
    secrets: list[AffectedSecret] = pydantic.Field(
        default_factory=list,
        max_length=2000,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """The affected ManagedSecrets and the progress of each."""
    timeline: list[TimelineEntry] = pydantic.Field(default_factory=list, max_length=500)
    """The events of the emergency in order; entries are never removed."""
    conditions: Conditions = pydantic.Field(default_factory=list, json_schema_extra=BY_TYPE)
    """Rotated, ServicesUpdated, AccessAudited, Documented, Overdue; Reconciling and Stalled while they hold."""

    @property
    def stage_times(self) -> dict[str, datetime | None]:
        """When each stage was reached; None for one that is open."""
        return {
            "Rotated": self.rotated_at,
            "ServicesUpdated": self.services_updated_at,
            "AccessAudited": self.access_audit_at,
            "Documented": self.documented_at,
        }

    @property
    def has_updated_services(self) -> bool:
        """Whether every workload runs, or has run, on the new values."""
        return self.services_updated_at is not None


class EmergencyRotation(Schema):
    """An incident: ManagedSecrets that are rotated at once, and deadlines after 1 minute, 1, 24 and 48 hours."""

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
    """The incident, and the secrets that are rotated for it; immutable."""
    status: EmergencyRotationStatus = EmergencyRotationStatus()
    """The progress of the emergency and its deadlines."""
