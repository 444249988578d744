"""Parses and restarts workloads of the kinds in `core.observation.workload_kinds`."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from sys import intern
from typing import Any

from keyturn.core.keys import WorkloadKey
from keyturn.core.labels import KEYTURN, MARKER, RELOAD, RESTART
from keyturn.core.observation.workload import Workload, uses_of
from keyturn.core.observation.workload_kinds import REQUIRED_TYPES, WorkloadType, progress_condition, type_of
from keyturn.core.times import time_of
from keyturn.kube.wire import Body, Patch

from . import errors, paths
from .client import Api

_MIN_HISTORY = 2
_SECOND = timedelta(seconds=1)
_COMPLAINTS = (
    (
        {"type": "ReplicaFailure", "status": "True"},
        "its pods cannot be created; check the namespace's quota and the events of its ReplicaSet",
    ),
    (
        {"type": "Progressing", "reason": "ReplicaSetCreateError"},
        "its new ReplicaSet cannot be created; check the namespace's quota and its own events",
    ),
    (
        {"type": "InvalidSpec", "status": "True"},
        "its controller finds its spec invalid; check its condition InvalidSpec",
    ),
)
"""Conditions with which a controller creates no pods; their messages are not trusted."""


def workload_of(kind: str, body: Body) -> Workload:
    """Parse a workload, reduced to what a rollout needs."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    row = type_of(kind)
    template = _at(row.template, body)
    template_key, has_template = _template_of(row, body)
    annotations = _at(("metadata", "annotations"), template if has_template else body)
    # Before the controller has observed the newest spec, its status describes an older one.
    is_observed = row.is_observed(metadata, status)
    has_failed = is_observed and row.has_failed(spec, status)
    is_settled = is_observed and row.is_settled(spec, status)
    return Workload(
        key=WorkloadKey(intern(metadata["namespace"]), intern(str(kind)), metadata["name"]),
        uid=metadata["uid"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        uses=uses_of(template.get("spec") or {}),
        marker=annotations.get(MARKER, ""),
        restart=(metadata.get("annotations") or {}).get(RESTART),
        selector=_selector(spec.get("selector") or {}),
        paused=bool(spec.get("paused")),
        settled=is_settled,
        is_updated=is_observed and row.is_updated(spec, status),
        failed=has_failed,
        aborted=is_observed and row.is_aborted(spec, status),
        keeps_earlier=row.keeps_earlier(spec, status),
        hint=row.hint(spec),
        idle=row.is_idle(spec, status),
        restarted=_restarted(metadata),
        templates=_templates(spec, status) if is_observed else (),
        complaint=_complaint(status),
        terminates=_terminates(spec, status),
        reload=(metadata.get("annotations") or {}).get(RELOAD),
        in_place=row.is_in_place(spec, status),
        template_of=template_key,
        has_template=has_template,
        template_generation=_generation(status.get("workloadObservedGeneration")),
        progressed=time_of(progress_condition(status).get("lastUpdateTime"))
        if template_key or has_failed
        else None,
        progressing=None if is_settled else _progressing(status),
        generation=metadata.get("generation", 0),
    )


async def restart(api: Api, workload: Workload, marker: str) -> Body:
    """Restart every pod by the restart marker on the pod template, or by a time; an empty marker is removed.

    The UID makes a restart of a recreated workload a conflict. Source: Kubernetes, "Server-Side Apply".

    Raises:
        ApiError: It failed; `NotFound` also if the workload with the pod template does not exist.
    """
    target = _template_owner(workload)
    if not marker:
        path = paths.workload(target.key.kind, target.key.namespace, target.key.name)
        # An apply would leave copies of the annotation that other managers own.
        annotations = {"annotations": {MARKER: None}}
        patch: Body = {"metadata": {"uid": target.uid}}
        if target.has_template:
            patch |= _within(type_of(target.key.kind).template, {"metadata": annotations})
        else:
            patch["metadata"] |= annotations
        return await api.patch(path, patch, Patch.MERGE, {"fieldManager": KEYTURN})
    row = type_of(target.key.kind)
    if not target.has_template:
        # The next full second: pods that were created in the present one may have read the earlier values.
        time = (api.clock.now() + _SECOND).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return await _apply(api, target, row.restart_at or (), time, {"annotations": {MARKER: marker}})
    template = row.template
    return await _apply(api, target, template, {"metadata": {"annotations": {MARKER: marker}}})


def _template_owner(workload: Workload) -> Workload:
    """Return the workload that has the pod template."""
    key = workload.template_of
    if key is None:
        return workload
    if workload.template_uid is None:
        raise errors.NotFound("patch", paths.workload(key.kind, key.namespace, key.name), 404, "NotFound")
    return replace(workload, key=key, uid=workload.template_uid)


async def _apply(
    api: Api, workload: Workload, place: tuple[str, ...], content: Any, metadata: Body | None = None
) -> Body:
    """Apply one field, and metadata, of a workload."""
    key = workload.key
    body = {
        "apiVersion": type_of(key.kind).api_version,
        "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": workload.uid, **(metadata or {})},
        **_within(place, content),
    }
    settings = {"fieldManager": KEYTURN, "force": "true"}
    return await api.patch(paths.workload(key.kind, key.namespace, key.name), body, Patch.APPLY, settings)


def _at(path: tuple[str, ...], body: Body) -> Body:
    """Return the object at a path, empty if it is absent."""
    for name in path:
        body = body.get(name) or {}
    return body


def _generation(text: str | None) -> int | None:
    """Return a generation of the API; None without one, and 0 for another text."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdecimal() else 0


def _progressing(status: Mapping[str, Any]) -> datetime | None:
    """Return since when the condition Progressing is true; it is unknown during a pause."""
    condition = progress_condition(status)
    return time_of(condition.get("lastTransitionTime")) if condition.get("status") == "True" else None


def _within(path: tuple[str, ...], content: Any) -> Body:
    """Return a body that has the content at a path."""
    for name in reversed(path):
        content = {name: content}
    return dict(content)


def _template_of(row: WorkloadType, body: Body) -> tuple[WorkloadKey | None, bool]:
    """Return the workload whose pod template this one uses, and whether a marker on a template restarts its pods."""
    if row.template_ref is None:
        return None, True
    reference = _at(row.template_ref, body)
    if not reference:
        return None, bool(_at(row.template, body))
    kind, name = reference.get("kind", ""), reference.get("name", "")
    if not any(one.kind == kind and one.api_version == reference.get("apiVersion") for one in REQUIRED_TYPES):
        return None, False
    return WorkloadKey(body["metadata"]["namespace"], intern(kind), name), True


def _terminates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> bool | None:
    """Whether a Deployment has terminating pods, by the count that Kubernetes 1.35 added (KEP-3973).

    It does not count pods of deleted ReplicaSets, so a history limit below 2 makes it unknown (None).
    """
    count = status.get("terminatingReplicas")
    if count is None or spec.get("revisionHistoryLimit", 10) < _MIN_HISTORY:
        return None
    return bool(count)


def _restarted(metadata: Mapping[str, Any]) -> datetime | None:
    """Return when the API server stored the restart marker, by managedFields."""
    times = (
        entry.get("time")
        for entry in metadata.get("managedFields") or ()
        if entry.get("manager") == KEYTURN and entry.get("operation") == "Apply"
    )
    return next((time for time in map(time_of, times) if time), None)


def _templates(spec: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the revisions of which a StatefulSet creates pods; empty with OnDelete, where users replace pods."""
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return ()
    return tuple(intern(status[name]) for name in ("currentRevision", "updateRevision") if status.get(name))


def _complaint(status: Mapping[str, Any]) -> str | None:
    """Return why the controller creates no pods, by its conditions."""
    conditions = status.get("conditions") or ()
    found = (
        complaint
        for known, complaint in _COMPLAINTS
        if any(known.items() <= one.items() for one in conditions)
    )
    return next(found, None)


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
