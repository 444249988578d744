"""Models of `spec.rotation` and `spec.rollout`: when values are replaced, and how workloads then restart."""

from enum import StrEnum
from typing import Annotated

import pydantic

from .base import AS_SET, Duration, Pause, Schema, rules
from .meta import Name
from .workloads import WorkloadKind

_FIVE_FIELDS = r"self.matches('^\\s*(\\S+\\s+){4}\\S+\\s*$')"
_ONE_CADENCE = (
    "!(has(self.every) && has(self.schedule))",
    "every and schedule contradict each other; keep one",
)
_NOT_BY_KEYTURN = (
    "!has(self.appliedBy) || self.appliedBy != 'Keyturn'",
    "Keyturn applies the password of account alone, without appliedBy; remove it, or write Application",
    ".appliedBy",
)
_EXACT_SCHEDULE = (
    "!(has(self.jitter) && has(self.schedule))",
    "jitter spreads every, a schedule is exact; remove jitter or write every instead of schedule",
)
_A_MINUTE = (
    ("self.duration.matches('[1-9][0-9]*[mhdw]') || self.duration.matches('([6-9][0-9]|[1-9][0-9][0-9]+)s')"),
    "a window shorter than a minute would be missed; write 1m or longer",
    ".duration",
)

Jitter = Annotated[
    str,
    pydantic.Field(max_length=4),
    pydantic.WithJsonSchema(
        {
            "type": "string",
            "maxLength": 4,
            **rules(("self.matches('^([0-9]|[1-4][0-9]|50)%$')", "write jitter as 0% to 50%, such as 10%")),
        }
    ),
]


class AppliedBy(StrEnum):
    """What applies a new value outside of the Secret, such as a password at its database server."""

    KEYTURN = "Keyturn"
    APPLICATION = "Application"
    NOBODY = "Nobody"


class Schedule(Schema):
    """Fixed points in time."""

    cron: str = pydantic.Field(
        max_length=128,
        json_schema_extra=rules(
            (_FIVE_FIELDS, 'write a cron expression of five fields, such as "0 3 1 */3 *"'),
        ),
    )
    """Minute, hour, day of month, month and day of week, in cron syntax."""
    time_zone: str | None = pydantic.Field(None, max_length=64)
    """The time zone of the expression by its IANA name, such as Europe/Berlin; UTC if absent."""


class Window(Schedule):
    """A period in which rotations may start: from each point in time of the schedule, for the duration."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_A_MINUTE))

    duration: Duration
    """How long rotations may start after each point in time, in elapsed time, such as 3h."""


class Timing(Schema):
    """When a value is replaced: an interval or a schedule, and how long the previous value stays valid."""

    every: Duration | None = None
    """How long a value is used before it is replaced, such as 90d."""
    schedule: Schedule | None = None
    """Fixed points in time, instead of every."""
    overlap: Pause | None = None
    """How long the previous value stays valid after no pod holds it any more; 1h if absent."""
    applied_by: AppliedBy | None = None
    """What applies a new value outside of the Secret; with Nobody, values rotate on request only."""


class ItemRotation(Timing):
    """When one value is replaced, where that differs from rotation of the object."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ONE_CADENCE, _NOT_BY_KEYTURN))


class Cadence(Timing):
    """When values are replaced: an interval or a schedule, and the windows in which rotations may start."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ONE_CADENCE, _EXACT_SCHEDULE))

    jitter: Jitter | None = None
    """The part of every by which a rotation may come earlier, fixed per object; 10% if absent."""
    windows: list[Window] | None = pydantic.Field(None, max_length=16)
    """The periods in which rotations may start, and values that changed in stores are written; always if absent."""
    max_overlap: Duration | None = None
    """How long after a rotation the previous value ends although pods still hold it; without a limit if absent."""


class ClassRotation(Cadence):
    """When values of a class are replaced, and how a change of the class reaches those that exist."""

    spread: Pause | None = None
    """How long the rotations are spread that a new or changed schedule makes overdue; a tenth of every if absent."""


class Rotation(Cadence):
    """When generated values are replaced, and which."""

    trigger: str | None = pydantic.Field(None, min_length=1, max_length=256)
    """A new text replaces the values once; one that is set at creation is only recorded."""
    only: list[Annotated[str, pydantic.Field(max_length=253)]] | None = pydantic.Field(
        None, min_length=1, max_length=128, json_schema_extra=AS_SET
    )
    """The names of the values to replace; every generated one if absent."""
    gather: Pause | None = None
    """How early a value rotates with another that is due; a tenth of the shortest interval, at most 1d, if absent."""
    revision_history_limit: int | None = pydantic.Field(None, ge=0, le=10)
    """How many old revisions keep their values for a rollback; 3 if absent."""


class Restart(StrEnum):
    """Which workloads are restarted when the Secret changes."""

    AUTO = "Auto"
    LISTED = "Listed"
    NONE = "None"


class OnFailure(StrEnum):
    """What happens when a workload does not become ready with a new revision."""

    ROLLBACK = "Rollback"
    HOLD = "Hold"


class FailFastWhen(StrEnum):
    """When a workload counts as failed before its progressDeadline."""

    CRASHING = "Crashing"
    NEVER = "Never"


class FailFast(Schema):
    """When a workload counts as failed before its progressDeadline."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.when) || self.when != 'Never' || !has(self.restarts)",
                "when: Never counts no restarts; remove restarts, or write when: Crashing",
            )
        )
    )

    when: FailFastWhen | None = None
    """Crashing (the default): new pods crash while old ones, if there are any, are ready; or Never."""
    restarts: int | None = pydantic.Field(None, ge=1, le=100)
    """How many restarts of one container of a new pod count as crashing; 3 if absent."""


class WorkloadRef(Schema):
    """A workload of the same namespace."""

    kind: WorkloadKind
    """Deployment, StatefulSet or DaemonSet; or Rollout, of Argo Rollouts."""
    name: Name
    """The name of the workload."""
    wave: int | None = pydantic.Field(None, ge=-1000, le=1000)
    """Waves roll one after the other, the lowest first; 0 if absent, and for consumers that targets does not list.
    """


class Rollout(Schema):
    """Which workloads are restarted when the Secret changes, and how."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.restart) || self.restart != 'Listed' || has(self.targets)",
                "restart: Listed needs targets, such as targets: [{kind: Deployment, name: api}]",
            ),
            (
                "!has(self.restart) || self.restart != 'None' || !has(self.targets)",
                "restart: None restarts no workload; remove targets, or write restart: Listed",
            ),
        )
    )

    restart: Restart | None = None
    """Auto (the default) restarts every consumer in the namespace, Listed only targets, None no workload."""
    targets: list[WorkloadRef] | None = pydantic.Field(
        None,
        min_length=1,
        max_length=256,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["kind", "name"]},
    )
    """Workloads to restart; one that does not consume the Secret must consent by an annotation."""
    debounce: Pause | None = None
    """How long a restart waits for further changes of what the workload consumes; 5s if absent."""
    max_concurrent: int | None = pydantic.Field(None, ge=1, le=1000)
    """How many workloads of one wave roll at a time; 1 if absent."""
    progress_deadline: Duration | None = None
    """How long a restarted workload may take to run the new revision before it has failed; 10m if absent."""
    fail_fast: FailFast | None = None
    """When a workload counts as failed before its progressDeadline; if absent, after three restarts of a new pod."""
    on_failure: OnFailure | None = None
    """Rollback (the default) returns to the previous revision, Hold stops and leaves everything as it is."""
