"""Parses and restarts workloads: Deployments, StatefulSets and DaemonSets."""

from __future__ import annotations

from datetime import datetime
from sys import intern
from typing import TYPE_CHECKING, Any

from keyturn.api.status import WorkloadKind
from keyturn.core.keys import WorkloadKey
from keyturn.core.labels import MARKER, RELOAD, RESTART
from keyturn.core.observation.workload import Workload, uses_of

from . import paths
from .client import Patch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .client import Api, Body

__all__ = ["FIELD_MANAGER", "KINDS", "restart", "workload_of"]

FIELD_MANAGER = "keyturn"
KINDS = tuple(WorkloadKind)
_MIN_HISTORY = 2
_NO_PODS = "its pods cannot be created; check the namespace's quota and the events of its ReplicaSet"


def workload_of(kind: str, body: Body) -> Workload:
    """Parse a workload, reduced to what a rollout needs."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    template = spec["template"]
    annotations = template.get("metadata", {}).get("annotations") or {}
    # Before the controller has observed the newest spec, its status describes an older one.
    is_observed = status.get("observedGeneration", 0) >= metadata.get("generation", 0)
    return Workload(
        key=WorkloadKey(intern(metadata["namespace"]), intern(str(kind)), metadata["name"]),
        uid=metadata["uid"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        uses=uses_of(template.get("spec") or {}),
        marker=annotations.get(MARKER, ""),
        restart=(metadata.get("annotations") or {}).get(RESTART),
        selector=_selector(spec.get("selector") or {}),
        paused=bool(spec.get("paused")),
        settled=is_observed and _SETTLED[WorkloadKind(kind)](spec, status),
        failed=is_observed and _missed_deadline(status),
        hint=_hint(spec),
        idle=_wants_no_pods(WorkloadKind(kind), spec, status),
        restarted=_restarted(metadata),
        templates=_templates(spec, status) if is_observed else (),
        complaint=_complaint(status),
        terminates=_terminates(spec, status),
        reload=(metadata.get("annotations") or {}).get(RELOAD),
        in_place=_is_in_place(WorkloadKind(kind), spec),
    )


async def restart(api: Api, workload: Workload, marker: str) -> Body:
    """Restart every pod by setting the restart marker on the pod template; an empty marker is removed.

    The UID makes a restart of a recreated workload a conflict. Source: Kubernetes, "Server-Side Apply".
    """
    key = workload.key
    path = paths.workload(key.kind, key.namespace, key.name)
    if not marker:
        return await api.patch(path, _without_marker(workload), Patch.MERGE, {"fieldManager": FIELD_MANAGER})
    return await api.patch(
        path,
        {
            "apiVersion": "apps/v1",
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": workload.uid},
            "spec": {"template": {"metadata": {"annotations": {MARKER: marker}}}},
        },
        Patch.APPLY,
        {"fieldManager": FIELD_MANAGER, "force": "true"},
    )


def _without_marker(workload: Workload) -> Body:
    """Return the patch that removes the annotation whichever manager owns it.

    An apply would leave other managers' copies.
    """
    annotations = {MARKER: None}
    return {
        "metadata": {"uid": workload.uid},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }


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


# As in `kubectl rollout status`.
_SETTLED = {
    WorkloadKind.DEPLOYMENT: _deployment_is_settled,
    WorkloadKind.STATEFUL_SET: _stateful_set_is_settled,
    WorkloadKind.DAEMON_SET: _daemon_set_is_settled,
}


def _terminates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool | None:
    """Whether a Deployment has terminating pods, by the count that Kubernetes 1.35 added (KEP-3973).

    It does not count pods of deleted ReplicaSets, so a history limit below 2 makes it unknown (None).
    """
    count = status.get("terminatingReplicas")
    if count is None or spec.get("revisionHistoryLimit", 10) < _MIN_HISTORY:
        return None
    return bool(count)


def _is_in_place(kind: WorkloadKind, spec: Mapping[str, Any]) -> bool:
    if kind is WorkloadKind.DEPLOYMENT:
        return (spec.get("strategy") or {}).get("type") == "Recreate"
    return True


def _missed_deadline(status: Mapping[str, Any]) -> bool:
    return any(
        condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded"
        for condition in status.get("conditions") or ()
    )


def _wants_no_pods(kind: WorkloadKind, spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    if kind is WorkloadKind.DAEMON_SET:
        return not status.get("desiredNumberScheduled", 0)
    return not spec.get("replicas", 1)


def _restarted(metadata: Mapping[str, Any]) -> datetime | None:
    """Return when the API server stored the restart marker, by managedFields."""
    times = (
        entry.get("time")
        for entry in metadata.get("managedFields") or ()
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
    )
    return next((datetime.fromisoformat(time) for time in times if time), None)


def _templates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the revisions of which a StatefulSet creates pods; empty with OnDelete, where users replace pods."""
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return ()
    return tuple(intern(status[name]) for name in ("currentRevision", "updateRevision") if status.get(name))


def _complaint(status: Mapping[str, Any]) -> str | None:
    """Return that pods cannot be created; the cause is in the events, whose text is not trusted."""
    failing = any(
        condition.get("type") == "ReplicaFailure" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )
    return _NO_PODS if failing else None


def _hint(spec: Mapping[str, Any]) -> str | None:
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return "its update strategy is OnDelete: delete its pods to restart them"
    if (strategy.get("rollingUpdate") or {}).get("partition"):
        return "its update strategy has a partition: pods below it are not restarted"
    return None


def _selector(selector: Mapping[str, Any]) -> str:
    parts = [f"{name}={text}" for name, text in sorted((selector.get("matchLabels") or {}).items())]
    parts += (_requirement(requirement) for requirement in selector.get("matchExpressions") or ())
    return ",".join(parts)


def _requirement(requirement: Mapping[str, Any]) -> str:
    key, values = requirement["key"], ",".join(requirement.get("values") or ())
    match requirement["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "DoesNotExist":
            return f"!{key}"
        case _:
            return f"{key}"
