"""Parses and restarts workloads of the kinds in `core.observation.workload_kinds`."""

from __future__ import annotations

from datetime import datetime
from sys import intern
from typing import TYPE_CHECKING, Any

from keyturn.core.keys import WorkloadKey
from keyturn.core.labels import MARKER, RELOAD, RESTART
from keyturn.core.observation.workload import Workload, uses_of
from keyturn.core.observation.workload_kinds import type_of

from . import paths
from .client import Patch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .client import Api, Body

__all__ = ["FIELD_MANAGER", "restart", "workload_of"]

FIELD_MANAGER = "keyturn"
_MIN_HISTORY = 2
_NO_PODS = "its pods cannot be created; check the namespace's quota and the events of its ReplicaSet"


def workload_of(kind: str, body: Body) -> Workload:
    """Parse a workload, reduced to what a rollout needs."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    row = type_of(kind)
    template = _at(row.template, body)
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
        settled=is_observed and row.is_settled(spec, status),
        failed=is_observed and _missed_deadline(status),
        hint=_hint(spec),
        idle=row.is_idle(spec, status),
        restarted=_restarted(metadata),
        templates=_templates(spec, status) if is_observed else (),
        complaint=_complaint(status),
        terminates=_terminates(spec, status),
        reload=(metadata.get("annotations") or {}).get(RELOAD),
        in_place=row.is_in_place(spec, status),
    )


async def restart(api: Api, workload: Workload, marker: str) -> Body:
    """Restart every pod by setting the restart marker on the pod template; an empty marker is removed.

    The UID makes a restart of a recreated workload a conflict. Source: Kubernetes, "Server-Side Apply".
    """
    key, row = workload.key, type_of(workload.key.kind)
    path = paths.workload(key.kind, key.namespace, key.name)
    if not marker:
        return await api.patch(path, _without_marker(workload), Patch.MERGE, {"fieldManager": FIELD_MANAGER})
    return await api.patch(
        path,
        {
            "apiVersion": row.api_version,
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": workload.uid},
            **_within(row.template, {"metadata": {"annotations": {MARKER: marker}}}),
        },
        Patch.APPLY,
        {"fieldManager": FIELD_MANAGER, "force": "true"},
    )


def _without_marker(workload: Workload) -> Body:
    """Return the patch that removes the annotation whichever manager owns it.

    An apply would leave other managers' copies.
    """
    template = type_of(workload.key.kind).template
    return {
        "metadata": {"uid": workload.uid},
        **_within(template, {"metadata": {"annotations": {MARKER: None}}}),
    }


def _at(path: tuple[str, ...], body: Body) -> Body:
    """Return the object at a path, which the API requires."""
    for name in path:
        body = body[name]
    return body


def _within(path: tuple[str, ...], body: Body) -> Body:
    """Return a body that has another one at a path."""
    for name in reversed(path):
        body = {name: body}
    return body


def _terminates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool | None:
    """Whether a Deployment has terminating pods, by the count that Kubernetes 1.35 added (KEP-3973).

    It does not count pods of deleted ReplicaSets, so a history limit below 2 makes it unknown (None).
    """
    count = status.get("terminatingReplicas")
    if count is None or spec.get("revisionHistoryLimit", 10) < _MIN_HISTORY:
        return None
    return bool(count)


def _missed_deadline(status: Mapping[str, Any]) -> bool:
    return any(
        condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded"
        for condition in status.get("conditions") or ()
    )


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
