"""Parser of pods: which workload controls one, its template and age, and what keeps its containers from running."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keyturn.core.labels import MARKER
from keyturn.core.observation.pods import NOT_READY, Pod, Trouble
from keyturn.core.observation.workload_kinds import replica_set_of, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.core.observation.workload import Workload
    from keyturn.kube.wire import Body

_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_TEMPLATE = "controller-revision-hash"
_TOLERANCE = timedelta(seconds=1)
"""Tolerance for two times of one moment, which have whole seconds."""
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}")


def pod_of(body: Body) -> Pod:
    """Parse a pod that a controller created."""
    metadata = body["metadata"]
    controller = controller_of(metadata) or {}
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        owner=controller.get("uid", ""),
        template=(metadata.get("labels") or {}).get(_TEMPLATE, ""),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        marker=(metadata.get("annotations") or {}).get(MARKER, ""),
        leaves=terminating_since(metadata),
        **(_status_fields(body["status"]) if "status" in body else {}),
    )


def belongs_to(pod: Body, workload: Workload) -> bool:
    """Whether the workload controls a pod; selectors of two workloads may be equal.

    Some kinds control it by a ReplicaSet, whose name has the hash of the pod template.
    """
    metadata = pod["metadata"]
    controller = controller_of(metadata)
    if controller is None:
        return False
    label = type_of(workload.key.kind).pod_hash
    if label is None:
        return bool(controller["uid"] == workload.uid)
    name = replica_set_of(workload.key.name, (metadata.get("labels") or {}).get(label, ""))
    return (controller["kind"], controller["name"]) == ("ReplicaSet", name)


def controller_of(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference of the object that controls a pod."""
    return next(
        (reference for reference in metadata.get("ownerReferences") or () if reference.get("controller")),
        None,
    )


def terminating_since(metadata: Mapping[str, Any]) -> datetime | None:
    """Return when its deletion was requested; deletionTimestamp is the end of the grace period.

    The API server accepts a grace period of any length, and computes the wrong end for one of centuries.
    """
    if (text := metadata.get("deletionTimestamp")) is None:
        return None
    over = datetime.fromisoformat(text)
    try:
        return over - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    except OverflowError:
        return over


def _status_fields(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of Pod that need its status."""
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    ready = _condition(status, "Ready")
    return {
        "ready": ready.get("status") == "True",
        "never_ready": _was_never_ready(ready, status),
        "restarts": _max_restarts(containers),
        "crashes": _max_restarts(container for container in containers if _crashes(container)),
        "trouble": _trouble(containers, status),
    }


def _condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    return next(
        (condition for condition in status.get("conditions") or () if condition.get("type") == type_), {}
    )


def _was_never_ready(ready: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether the API proves that a pod was never ready.

    The kubelet sets startTime and the condition Ready=False together, and changes the condition's time only with its
    status. A pod that is not ready since its start never was; one that lacks either time may have been.
    """
    if not ready:
        return "startTime" not in status  # no kubelet has accepted it
    started, turned = status.get("startTime"), ready.get("lastTransitionTime")
    if ready.get("status") != "False" or not started or not turned:
        return False
    return datetime.fromisoformat(turned) - datetime.fromisoformat(started) <= _TOLERANCE


def _max_restarts(containers: Iterable[Mapping[str, Any]]) -> int:
    return max((container.get("restartCount", 0) for container in containers), default=0)


def _crashes(container: Mapping[str, Any]) -> bool:
    """Whether a container crashes repeatedly; one that is ready has recovered."""
    if container.get("ready"):
        return False
    return _state(container, "waiting").get("reason") == "CrashLoopBackOff" or bool(_last_end(container))


def _trouble(containers: list[Mapping[str, Any]], status: Mapping[str, Any]) -> Trouble | None:
    """Return what keeps a pod from running, reasons that do not pass by waiting first; None if nothing does."""
    troubles = [_trouble_of(container) for container in containers if not container.get("ready")]
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        troubles.append(Trouble(_word(scheduled)))
    return min(troubles, key=lambda container: container.is_mild, default=None)


def _trouble_of(container: Mapping[str, Any]) -> Trouble:
    name = container["name"]
    waiting, ended = _state(container, "waiting"), _state(container, "terminated")
    last = _last_end(container)
    code = last.get("exitCode")
    if waiting:
        reason = _word(waiting)
        return Trouble(reason, name, code, _image(container) if reason in _NO_IMAGE else None)
    if ended or last:
        return Trouble(_word(ended or last), name, (ended or last).get("exitCode"))
    return Trouble(NOT_READY, name)


def _state(container: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return (container.get("state") or {}).get(name) or {}


def _last_end(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return (container.get("lastState") or {}).get("terminated") or {}


def _word(said: Mapping[str, Any]) -> str:
    """Return a reason of one word, as the API requires; container runtimes may write other text."""
    reason = said.get("reason") or ""
    return reason if _REASON.fullmatch(reason) else "Unknown"


def _image(container: Mapping[str, Any]) -> str | None:
    image = container.get("image") or ""
    return image if _IMAGE.fullmatch(image) else None
