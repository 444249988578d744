"""Status of a ManagedSecret, as `kubectl get managedsecret` shows it."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property

import pydantic

from .base import BY_TYPE, Schema
from .meta import Conditions, ObservedGeneration
from .workloads import Via, WorkloadState

MOST_WORKLOADS = 1000
MOST_VIOLATIONS = 1000
"""More than a spec can violate: each of its 128 values violates a rule in at most two ways."""


class RotationStatus(Schema):
    """A rotation in progress."""

    id: str
    """The permanent identifier of the rotation: the object's UID and the number of the new revision."""
    reason: str
    """Why the values are replaced: {RevisionReason}."""
    step: str
    """The next step."""
    started_at: datetime
    """When the rotation was decided."""
    attempts: int = 0
    """How often the step failed."""
    message: str | None = None
    """What the step waits for."""


class ScheduleStatus(Schema):
    """The schedule of the rotations, and since when it applies."""

    text: str
    """The interval with its jitter, or the cron expression with its time zone; "on request" if it only reports."""
    since: datetime
    """When it was observed first; a rotation that was due before is spread, see rotation.spread of a SecretClass."""
    due_before: datetime | None = None
    """When the rotation was due by the schedule before, which a new one does not postpone."""


class ValueStatus(Schema):
    """A value that rotates, in a Secret whose values have several schedules."""

    name: str
    """The name of the value."""
    schedule: str | None = None
    """Its interval with its jitter, or its cron expression with its time zone; absent without a schedule."""
    last_rotation_time: datetime
    """When it was last generated."""
    next_rotation_time: datetime | None = None
    """When it is due by its schedule; it may rotate earlier with another one, see rotation.gather."""


class WorkloadStatus(Schema):
    """A workload that consumes the Secret."""

    kind: str
    """Deployment, StatefulSet, DaemonSet or Rollout; or the topmost owner of pods that are not restarted, or Pod."""
    name: str
    """The name of the workload; of a pod without an owner its own."""
    via: list[Via] = pydantic.Field(default_factory=list)
    """How it uses the Secret."""
    state: WorkloadState
    """Current, Reloaded, Pending, Rolling or Failed; Reloaded is not proven."""
    revision: int | None = None
    """The revision of the restart marker on its pod template, or that its oldest pod has read."""
    restarted: int | None = None
    """The revision of its last restart, if another writer has removed the restart marker since."""
    terminating: int | None = None
    """How many pods with earlier values are terminating, if the rollout waits for their end without a deadline."""
    reason: str | None = None
    """Why it is not Current, as a code for programs: {WorkloadReason}; a later version may have others."""
    message: str | None = None
    """What it waits for, for people; the wording can change with each version."""


class PolicyViolation(Schema):
    """A violated rule."""

    rule: str
    """The rule, such as minLength, maxInterval or sharedValue."""
    item: str | None = None
    """The value that violates it; absent if the rule is about several values or about the spec."""
    message: str
    """What is wrong and what to write instead, for people; the wording can change with each version."""


class PolicyStatus(Schema):
    """Compliance of the Secret with the rules of its class and of the checklist."""

    violations: list[PolicyViolation] = pydantic.Field(default_factory=list, max_length=MOST_VIOLATIONS)
    """The violated rules, those of the class first."""


class HistoryEntry(Schema):
    """A revision of the past."""

    revision: int
    """The number of the revision."""
    reason: str
    """Why it was generated: {RevisionReason}."""
    started_at: datetime
    """When its values were generated."""
    finished_at: datetime
    """When every workload that Keyturn restarts ran on it."""
    result: str
    """How its rotation ended: {RevisionResult}."""
    message: str | None = None
    """Why it was rolled back, with the failed workloads, or which workloads Keyturn has not restarted; for people."""


class PreviousStatus(Schema):
    """The previous revision, while its values are still valid."""

    revision: int
    """The number of the revision."""
    valid_until: datetime | None = None
    """When the overlap ends; known once every workload runs on the current revision."""


class CredentialStatus(Schema):
    """A credential of the database account; the server accepts two at most."""

    login: str
    """The name that logs in."""
    revision: int
    """The revision that brought its password."""
    phase: str
    """Staged, Applied, Proven, Closing or Closed."""
    since: datetime
    """Since when: a Proven one was accepted at this time, a Closed one refused."""
    proven_at: datetime | None = None
    """When the server was proven to accept it; absent before."""


class UnrevokedLeases(Schema):
    """Leases of earlier dynamic credentials that their store refuses to revoke."""

    count: int
    """How many."""
    valid_until: datetime
    """When the last of them ends."""
    since: datetime | None = None
    """Since when the revocation of each has failed; the time in keyturn.dev/leases-revoked must not be before."""
    message: str
    """Why the last of them is not revoked, and what to do, for people; the wording can change with each version."""


class ManagedSecretStatus(Schema):
    """The last observation and the progress of the operator's work."""

    observed_generation: ObservedGeneration = None
    """The generation of the spec that this status describes."""
    state: str | None = None
    """The state as `keyturn status` names it, such as Ready, Held or Failed; the most severe one if several apply."""
    class_name: str | None = None
    """The SecretClass that applies: that of the spec, or the default class."""
    secret_name: str | None = None
    """The name of the target Secret."""
    revision: int | None = None
    """The revision in the Secret: 1, 2, and so on."""
    last_rotation_time: datetime | None = None
    """When values were last generated."""
    next_rotation_time: datetime | None = None
    """When the next rotation by schedule is due."""
    schedule: ScheduleStatus | None = None
    """The schedule that applies, and since when; absent without one."""
    values: list[ValueStatus] | None = pydantic.Field(None, max_length=128)
    """The values that rotate, if they have several schedules; absent otherwise."""
    rotates_on_request: bool | None = None
    """True if the schedule only reports that values are due, because nothing applies them (appliedBy: Nobody)."""
    overdue: bool | None = None
    """Whether a rotation is due and not done."""
    last_trigger: str | None = None
    """The last handled value of rotation.trigger; without one that a rollback has superseded."""
    last_refresh_time: datetime | None = None
    """When pulled values last changed, or were read on request; a read that finds the same values writes nothing."""
    last_refresh: str | None = None
    """The last handled value of the annotation keyturn.dev/refresh."""
    rotation: RotationStatus | None = None
    """The rotation in progress."""
    previous: PreviousStatus | None = None
    """The previous revision, while its values are still valid."""
    credentials: list[CredentialStatus] | None = pydantic.Field(None, max_length=8)
    """The credentials of the database account, the newest first; the last closed ones stay as evidence."""
    unrevoked_leases: UnrevokedLeases | None = None
    """Leases of earlier dynamic credentials that their store refuses to revoke; absent if there are none."""
    workloads: list[WorkloadStatus] = pydantic.Field(default_factory=list, max_length=MOST_WORKLOADS)
    """The workloads that consume the Secret, and the progress of each."""
    workloads_summary: str | None = None
    """How many of the workloads are done, such as 2/2; absent without workloads."""
    policy: PolicyStatus | None = None
    """The violated rules of the class and of the checklist; absent if there are none."""
    history: list[HistoryEntry] = pydantic.Field(default_factory=list, max_length=10)
    """The last ten revisions, the newest first."""
    conditions: Conditions = pydantic.Field(default_factory=list, json_schema_extra=BY_TYPE)
    """Ready, Rotating, WorkloadsCurrent, PolicyCompliant, Refreshed, Pushed, CredentialValid.

    Reconciling, Stalled, Hindered and CrdOutdated are present only while they hold.
    """

    @cached_property
    def by_workload(self) -> Mapping[tuple[str, str], WorkloadStatus]:
        """Workloads by kind and name; cached because each reconcile looks up as many as 1000."""
        return {(workload.kind, workload.name): workload for workload in self.workloads}
