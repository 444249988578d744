"""Table of the workload kinds: where the API serves each, where its pod template is, and when a rollout is complete.

A further kind is a further row; its permissions are in `manifests`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from keyturn.api.workloads import WorkloadKind

_Body: TypeAlias = "Mapping[str, Any]"
_Check: TypeAlias = "Callable[[_Body, _Body], bool]"
"""Check of spec and status."""
_MAX_NAME_LENGTH: Final = 253
_CANARY_WAITS: Final = frozenset({"pause", "analysis", "experiment", "plugin"})
"""The steps of a canary strategy that last as long as their author wants; the others only scale."""
_BLUE_GREEN_WAITS: Final = ("autoPromotionSeconds", "prePromotionAnalysis", "postPromotionAnalysis")
"""The fields of a blue-green strategy that do the same."""


def progress_condition(status: _Body) -> _Body:
    """Return the condition Progressing, empty without one."""
    conditions = status.get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == "Progressing"), {})


def _missed_deadline(_: _Body, status: _Body) -> bool:
    return bool(progress_condition(status).get("reason") == "ProgressDeadlineExceeded")


def _manual_update_hint(spec: _Body) -> str | None:
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return "its update strategy is OnDelete: delete its pods to restart them"
    if (strategy.get("rollingUpdate") or {}).get("partition"):
        return "its update strategy has a partition: pods below it are not restarted"
    return None


@dataclass(frozen=True, slots=True)
class WorkloadType:
    """One kind of workload."""

    kind: WorkloadKind
    group: str
    version: str
    plural: str
    is_settled: _Check
    """Whether every pod runs the current pod template and is available."""
    is_idle: _Check
    """Whether it wants no pods."""
    is_in_place: _Check
    """Whether a new pod starts only after an old one has ended."""
    is_updated: _Check = lambda _, __: False
    """Whether every pod runs the current pod template, available or not; never for a kind with steps."""
    has_failed: _Check = _missed_deadline
    """Whether the last rollout has failed by its controller's own rules."""
    is_aborted: _Check = lambda _, __: False
    """Whether its controller has aborted the last rollout, and keeps the pods of the earlier one."""
    keeps_earlier: _Check = lambda _, __: False
    """Whether pods of an earlier template run next to those of the current one."""
    is_observed: Callable[[_Body, _Body], bool] = lambda metadata, status: (
        status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    )
    """Whether the status describes the current spec, by metadata and status."""
    hint: Callable[[_Body], str | None] = _manual_update_hint
    """Why a rollout does not complete automatically, by the spec."""
    template: tuple[str, ...] = ("spec", "template")
    """Path of the pod template, whose annotation restarts the pods."""
    pod_hash: str | None = None
    """Label of the pods with the hash of their template, if a ReplicaSet controls them and its name ends with it.

    None if the workload controls its pods.
    """
    template_ref: tuple[str, ...] | None = None
    """Path of the reference to the workload whose pod template it uses, if it has none of its own."""
    restart_at: tuple[str, ...] | None = None
    """Path of the time that restarts the pods, for a workload whose pod template is not a workload's."""
    component: str | None = None
    """Folder of `manifests/components` with the permissions on an optional kind, which few clusters have."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


def _deployment_is_updated(spec: _Body, status: _Body) -> bool:
    updated = status.get("updatedReplicas", 0)
    return bool(updated >= spec.get("replicas", 1) and status.get("replicas", 0) <= updated)


def _deployment_is_settled(spec: _Body, status: _Body) -> bool:
    is_available = status.get("availableReplicas", 0) >= status.get("updatedReplicas", 0)
    return bool(_deployment_is_updated(spec, status) and is_available)


def _stateful_set_is_updated(spec: _Body, status: _Body) -> bool:
    desired = spec.get("replicas", 1)
    is_rolled = status.get("currentRevision") == status.get("updateRevision") or (
        status.get("updatedReplicas", 0) >= desired
    )
    return bool(is_rolled and status.get("replicas", 0) <= desired)


def _stateful_set_is_settled(spec: _Body, status: _Body) -> bool:
    is_ready = status.get("readyReplicas", 0) >= spec.get("replicas", 1)
    return bool(_stateful_set_is_updated(spec, status) and is_ready)


def _daemon_set_is_updated(_: _Body, status: _Body) -> bool:
    return bool(status.get("updatedNumberScheduled", 0) >= status.get("desiredNumberScheduled", 0))


def _daemon_set_is_settled(spec: _Body, status: _Body) -> bool:
    is_available = status.get("numberAvailable", 0) >= status.get("desiredNumberScheduled", 0)
    return bool(_daemon_set_is_updated(spec, status) and is_available)


def _has_no_replicas(spec: _Body, _: _Body) -> bool:
    return not spec.get("replicas", 1)


def _rollout_is_settled(spec: _Body, status: _Body) -> bool:
    """Whether an Argo Rollout is complete.

    A Rollout whose new ReplicaSet cannot be created is Healthy, by the pods of the earlier one.
    """
    updated = status.get("updatedReplicas", 0)
    return bool(
        status.get("phase") == "Healthy"
        and progress_condition(status).get("status") != "False"
        and updated >= spec.get("replicas", 1)
        and status.get("availableReplicas", 0) >= updated
    )


def _rollout_has_failed(spec: _Body, status: _Body) -> bool:
    """Whether a rollout of an Argo Rollout has failed; one with an invalid spec is Degraded without a rollout."""
    has_ended = _missed_deadline(spec, status) or _rollout_is_aborted(spec, status)
    return has_ended and bool(status.get("phase") == "Degraded")


def _rollout_is_aborted(_: _Body, status: _Body) -> bool:
    """Whether an Argo Rollout is aborted; after the next change its conditions show the last abort for a moment."""
    return bool(status.get("abort"))


def _waits_of(spec: _Body) -> str | None:
    """Return why the strategy of an Argo Rollout waits."""
    strategy = spec.get("strategy") or {}
    canary, blue_green = strategy.get("canary") or {}, strategy.get("blueGreen") or {}
    waits = [step for step in canary.get("steps") or () if _CANARY_WAITS & step.keys()]
    if any("pause" in step and not (step["pause"] or {}).get("duration") for step in waits):
        return "its canary strategy has a pause without a duration: promote its rollout"
    if waits:
        return "its canary strategy has steps that wait: its rollout completes with the last one"
    if blue_green.get("autoPromotionEnabled") is False:
        return "its blue-green strategy has no automatic promotion: promote its rollout"
    if any(blue_green.get(name) for name in _BLUE_GREEN_WAITS):
        return "its blue-green strategy waits before or after the promotion: its rollout completes later"
    return None


# A rollout is complete as in `kubectl rollout status` and `kubectl argo rollouts status`.
WORKLOAD_TYPES: Final = (
    WorkloadType(
        kind=WorkloadKind.DEPLOYMENT,
        group="apps",
        version="v1",
        plural="deployments",
        is_settled=_deployment_is_settled,
        is_updated=_deployment_is_updated,
        is_idle=_has_no_replicas,
        is_in_place=lambda spec, _: (spec.get("strategy") or {}).get("type") == "Recreate",
        pod_hash="pod-template-hash",
    ),
    WorkloadType(
        kind=WorkloadKind.STATEFUL_SET,
        group="apps",
        version="v1",
        plural="statefulsets",
        is_settled=_stateful_set_is_settled,
        is_updated=_stateful_set_is_updated,
        is_idle=_has_no_replicas,
        is_in_place=lambda _, __: True,
    ),
    WorkloadType(
        kind=WorkloadKind.DAEMON_SET,
        group="apps",
        version="v1",
        plural="daemonsets",
        is_settled=_daemon_set_is_settled,
        is_updated=_daemon_set_is_updated,
        is_idle=lambda _, status: not status.get("desiredNumberScheduled", 0),
        is_in_place=lambda _, __: True,
    ),
    WorkloadType(
        kind=WorkloadKind.ROLLOUT,
        group="argoproj.io",
        version="v1alpha1",
        plural="rollouts",
        is_settled=_rollout_is_settled,
        is_idle=_has_no_replicas,
        is_in_place=lambda _, __: False,
        has_failed=_rollout_has_failed,
        is_aborted=_rollout_is_aborted,
        # Terminating pods of earlier ReplicaSets do not count.
        keeps_earlier=lambda _, status: status.get("replicas", 0) > status.get("updatedReplicas", 0),
        # The generation in the status is a text.
        is_observed=lambda metadata, status: (
            status.get("observedGeneration") == str(metadata.get("generation", 0))
        ),
        hint=_waits_of,
        pod_hash="rollouts-pod-template-hash",
        template_ref=("spec", "workloadRef"),
        restart_at=("spec", "restartAt"),
        component="argo-rollouts",
    ),
)
"""The rows, in the order in which they are listed."""
REQUIRED_TYPES: Final = tuple(row for row in WORKLOAD_TYPES if row.component is None)
"""The kinds that every cluster has."""
OPTIONAL_TYPES: Final = tuple(row for row in WORKLOAD_TYPES if row.component is not None)

_BY_KIND: Final = MappingProxyType({str(row.kind): row for row in WORKLOAD_TYPES})


def replica_set_of(workload: str, template_hash: str) -> str:
    """Return the name of a ReplicaSet, for which its controller truncates the workload's name."""
    suffix = f"-{template_hash}"
    return workload[: _MAX_NAME_LENGTH - len(suffix)] + suffix


def type_of(kind: str) -> WorkloadType:
    """Return the row of a kind.

    Raises:
        KeyError: The table does not have it.
    """
    return _BY_KIND[kind]
