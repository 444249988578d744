"""Pods: their parser, and requests that delete and evict them.

The parser tells which workload controls a pod, its template and age, the Secrets that it uses, and what keeps its
containers from running.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from keyturn.api.workloads import Via
from keyturn.core.labels import MARKER
from keyturn.core.observation.workload import (
    FILES,
    KUBELET_SYNC,
    NOT_READY,
    Controller,
    Pod,
    Trouble,
    uses_of,
)
from keyturn.core.observation.workload_kinds import WORKLOAD_TYPES

from . import errors, paths
from .client import Api
from .wire import Body

_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_HASHES = {row.pod_hash: str(row.kind) for row in WORKLOAD_TYPES if row.pod_hash}
"""The label of a pod whose ReplicaSet has a further owner, and the kind of that owner."""
_TEMPLATE = "controller-revision-hash"
_TOLERANCE = timedelta(seconds=1)
"""Tolerance for two times of one moment, which have whole seconds."""
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}")


def pod_of(body: Body) -> Pod:
    """Parse a pod."""
    metadata, uses = body["metadata"], uses_of(body.get("spec") or {})
    labels = metadata.get("labels") or {}
    controller = _controller(metadata, labels)
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        began=_began(body, {way for use in uses for way in use.via}),
        owner=_owner(metadata["name"], controller),
        controller=controller,
        uses=uses,
        template=labels.get(_TEMPLATE, ""),
        marker=(metadata.get("annotations") or {}).get(MARKER, ""),
        leaves=terminating_since(metadata),
        **_status_fields(body.get("status") or {}),
    )


def _began(pod: Body, via: set[Via]) -> datetime:
    """Return from when on a pod has read its Secrets: its creation, or later if every container was restarted.

    A restarted container reads its environment again. It may read the previous content of a volume until the next
    sync of the kubelet.
    """
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    status = pod.get("status") or {}
    statuses = {
        container["name"]: container
        for group in ("initContainerStatuses", "containerStatuses")
        for container in status.get(group) or ()
    }
    spec = pod.get("spec") or {}
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    times = [_started(statuses.get(one["name"]) or {}) for one in containers]
    known = [time for time in times if time]
    if not known or len(known) < len(times):
        return created
    return max(created, min(known) - (KUBELET_SYNC if via & FILES else timedelta(0)))


def _started(container: Mapping[str, Any]) -> datetime | None:
    """Return when a container was started, or after which time it will be; None if the API does not show it.

    What an ended container has read may be in a volume of the pod.
    """
    state = container.get("state") or {}
    last = (container.get("lastState") or {}).get("terminated") or {}
    time = (state.get("running") or state.get("terminated") or {}).get("startedAt") or last.get("finishedAt")
    return datetime.fromisoformat(time) if time else None


def _controller(metadata: Mapping[str, Any], labels: Mapping[str, str]) -> Controller | None:
    references = metadata.get("ownerReferences") or ()
    reference = next((one for one in references if one.get("controller")), None)
    if reference is None:
        return None
    kind, name, uid = reference["kind"], reference["name"], reference["uid"]
    for label, workload_kind in _HASHES.items():
        hash_ = labels.get(label)
        if hash_ and kind == "ReplicaSet" and name.endswith(f"-{hash_}"):
            return Controller(kind, name, uid, hash_, workload_kind)
    return Controller(kind, name, uid)


def _owner(name: str, controller: Controller | None) -> tuple[str, str]:
    """Return the owner of the ReplicaSet if the pod's labels show it, else its controller, else the pod itself."""
    if controller is None:
        return "Pod", name
    if controller.hash:
        return controller.workload_kind, controller.name.removesuffix(f"-{controller.hash}")
    return controller.kind, controller.name


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


async def may_delete_pods(api: Api, namespace: str) -> bool:
    """Return whether RBAC lets the operator delete pods, which it does not by default."""
    asked = {"namespace": namespace, "verb": "delete", "group": "", "resource": "pods"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    try:
        answer = await api.request(paths.OWN_ACCESS_REVIEWS, review)
    except errors.Forbidden:
        return False
    return bool(answer.get("status", {}).get("allowed"))


async def delete_pod(api: Api, namespace: str, pod: Pod) -> None:
    """Delete a pod as it was read; success if it is absent.

    Raises:
        Conflict: It has changed since, such as by becoming ready, or was replaced.
    """
    await api.delete(paths.pod(namespace, pod.name), {"uid": pod.uid, "resourceVersion": pod.version})


async def evict_pod(api: Api, namespace: str, name: str, uid: str) -> None:
    """Evict a pod, which honours its PodDisruptionBudgets; success if it is absent or was replaced.

    Raises:
        Throttled: A budget does not allow it now.
        Forbidden: RBAC does not permit it, which is the default.
    """
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    }
    try:
        await api.create(paths.eviction(namespace, name), body)
    except (errors.NotFound, errors.Conflict):
        return
