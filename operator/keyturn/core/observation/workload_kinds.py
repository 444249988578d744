"""Table of the workload kinds: where the API serves each, where its pod template is, and when a rollout is complete.

A further kind is a further row; its permissions are in `manifests`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from keyturn.api.status import WorkloadKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["WORKLOAD_TYPES", "WorkloadType", "type_of"]

_Check: TypeAlias = "Callable[[Mapping[str, Any], Mapping[str, Any]], bool]"
"""Check of spec and status."""


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
    template: tuple[str, ...] = ("spec", "template")
    """Path of the pod template, whose annotation restarts the pods."""
    pod_hash: str | None = None
    """Label of the pods with the hash of their template, if a ReplicaSet controls them and its name ends with it.

    None if the workload controls its pods.
    """

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


def _deployment_is_settled(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    desired, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    return bool(
        updated >= desired
        and status.get("replicas", 0) <= updated
        and status.get("availableReplicas", 0) >= updated
    )


def _stateful_set_is_settled(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    desired = spec.get("replicas", 1)
    is_rolled = status.get("currentRevision") == status.get("updateRevision") or (
        status.get("updatedReplicas", 0) >= desired
    )
    return bool(
        is_rolled and status.get("readyReplicas", 0) >= desired and status.get("replicas", 0) <= desired
    )


def _daemon_set_is_settled(_: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    desired = status.get("desiredNumberScheduled", 0)
    return bool(
        status.get("updatedNumberScheduled", 0) >= desired and status.get("numberAvailable", 0) >= desired
    )


def _has_no_replicas(spec: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
    return not spec.get("replicas", 1)


def _has_no_nodes(_: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    return not status.get("desiredNumberScheduled", 0)


def _is_recreated(spec: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
    return bool((spec.get("strategy") or {}).get("type") == "Recreate")


def _always(_: Mapping[str, Any], __: Mapping[str, Any]) -> bool:
    return True


# A rollout is complete as in `kubectl rollout status`.
WORKLOAD_TYPES: Final = (
    WorkloadType(
        kind=WorkloadKind.DEPLOYMENT,
        group="apps",
        version="v1",
        plural="deployments",
        is_settled=_deployment_is_settled,
        is_idle=_has_no_replicas,
        is_in_place=_is_recreated,
        pod_hash="pod-template-hash",
    ),
    WorkloadType(
        kind=WorkloadKind.STATEFUL_SET,
        group="apps",
        version="v1",
        plural="statefulsets",
        is_settled=_stateful_set_is_settled,
        is_idle=_has_no_replicas,
        is_in_place=_always,
    ),
    WorkloadType(
        kind=WorkloadKind.DAEMON_SET,
        group="apps",
        version="v1",
        plural="daemonsets",
        is_settled=_daemon_set_is_settled,
        is_idle=_has_no_nodes,
        is_in_place=_always,
    ),
)
"""The rows, in the order in which they are listed."""

_BY_KIND: Final = MappingProxyType({str(row.kind): row for row in WORKLOAD_TYPES})


def type_of(kind: str) -> WorkloadType:
    """Return the row of a kind.

    Raises:
        KeyError: The table does not have it.
    """
    return _BY_KIND[kind]
