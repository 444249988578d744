"""Model of `spec.rollout`: which workloads are restarted when the Secret changes, and how."""

from __future__ import annotations

from enum import StrEnum

import pydantic

from .base import Schema, rules
from .duration import Duration, Pause
from .meta import Name
from .status import WorkloadKind


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
