"""How the pods of a workload are read, and how one of them is deleted.

One list in pages, by the workload's selector, of the pods that have not ended; a pod counts as the workload's by its
controller.
"""

from __future__ import annotations

import enum
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keyturn.api.status import WorkloadKind
from keyturn.core.labels import MARKER
from keyturn.core.observation.pods import NOT_READY, Pod, Trouble

from . import errors, paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.core.observation.workload import Workload

    from .client import Api, Body

__all__ = ["PodDetail", "delete_pod", "may_delete_pods", "pod_of", "pods_of"]

# A pod that has ended reads nothing any more, however long a finalizer keeps it.
_NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"
_HASH = "pod-template-hash"
_LONGEST_NAME = 253
"""Of a ReplicaSet: its controller cuts what is longer off the Deployment's name."""
_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_TEMPLATE = "controller-revision-hash"
_WHOLE_SECONDS = timedelta(seconds=1)
"""What two times of one moment may differ by: the API has no fractions."""
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}")


class PodDetail(enum.Enum):
    """How much of each pod is read."""

    METADATA = enum.auto()
    WHOLE = enum.auto()


async def pods_of(api: Api, workload: Workload, part: PodDetail) -> tuple[tuple[Pod, ...], int]:
    """Read the pods of the workload, and say in how many pages they came."""
    selected = {"labelSelector": workload.selector, "fieldSelector": _NOT_ENDED}
    path = paths.pods(workload.key.namespace)
    found: list[Pod] = []
    pages = 0
    async for page in api.pages(path, selected, metadata_only=part is PodDetail.METADATA):
        found = [] if page.first else found
        found += (pod_of(body) for body in page.items if _belongs(body, workload))
        pages += 1
    return tuple(found), pages


async def may_delete_pods(api: Api, namespace: str) -> bool:
    """Ask whether the operator may delete pods, so that it does not try in vain what is not given by default."""
    asked = {"namespace": namespace, "verb": "delete", "group": "", "resource": "pods"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    try:
        answer = await api.request(paths.own_access_reviews(), review)
    except errors.Forbidden:
        return False
    return bool(answer.get("status", {}).get("allowed"))


async def delete_pod(api: Api, namespace: str, pod: Pod) -> None:
    """Delete a pod as it was read; absent is success.

    Raises:
        Conflict: It has changed since, such as by getting ready, or it is another one of that name.
    """
    await api.delete(paths.pod(namespace, pod.name), {"uid": pod.uid, "resourceVersion": pod.version})


def pod_of(body: Body) -> Pod:
    """Read what a rollout needs to know of a pod that a controller has made."""
    metadata = body["metadata"]
    controller = _controller(metadata) or {}
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        owner=controller.get("uid", ""),
        template=(metadata.get("labels") or {}).get(_TEMPLATE, ""),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        marker=(metadata.get("annotations") or {}).get(MARKER, ""),
        leaves=_leaves(metadata),
        **(_shown(body["status"]) if "status" in body else {}),
    )


def _controller(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)


def _belongs(pod: Body, workload: Workload) -> bool:
    """Say whether the workload controls a pod: selectors of two workloads may be the same.

    A Deployment does so by a ReplicaSet, which has its name and the hash of the pod template.
    """
    metadata = pod["metadata"]
    controller = _controller(metadata)
    if controller is None:
        return False
    if workload.kind is not WorkloadKind.DEPLOYMENT:
        return bool(controller["uid"] == workload.uid)
    suffix = f"-{(metadata.get('labels') or {}).get(_HASH)}"
    name = workload.key.name[: _LONGEST_NAME - len(suffix)] + suffix
    return (controller["kind"], controller["name"]) == ("ReplicaSet", name)


def _leaves(metadata: Mapping[str, Any]) -> datetime | None:
    """Read when it was asked to end; the API server notes when its grace period is over."""
    over = metadata.get("deletionTimestamp")
    if over is None:
        return None
    return datetime.fromisoformat(over) - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)


def _shown(status: Mapping[str, Any]) -> dict[str, Any]:
    """Read what only the status of a pod shows."""
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    ready = _condition(status, "Ready")
    return {
        "ready": ready.get("status") == "True",
        "never_ready": _was_never_ready(ready, status),
        "restarts": _most(containers),
        "crashes": _most(one for one in containers if _crashes(one)),
        "trouble": _trouble(containers, status),
    }


def _condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    return next((one for one in status.get("conditions") or () if one.get("type") == type_), {})


def _was_never_ready(ready: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Say whether the API shows that a pod was never ready.

    The kubelet writes the start of a pod and its condition Ready=False at once, and moves the condition's time only
    when that turns. So a pod that is not ready since its start never was; one that lacks either time may have been.
    """
    if not ready:
        return "startTime" not in status  # no kubelet has taken it
    started, turned = status.get("startTime"), ready.get("lastTransitionTime")
    if ready.get("status") != "False" or not started or not turned:
        return False
    return datetime.fromisoformat(turned) - datetime.fromisoformat(started) <= _WHOLE_SECONDS


def _most(containers: Iterable[Mapping[str, Any]]) -> int:
    return max((one.get("restartCount", 0) for one in containers), default=0)


def _crashes(container: Mapping[str, Any]) -> bool:
    """Say whether a container ends again and again; one that is ready has got over it."""
    if container.get("ready"):
        return False
    return _state(container, "waiting").get("reason") == "CrashLoopBackOff" or bool(_last_end(container))


def _trouble(containers: list[Mapping[str, Any]], status: Mapping[str, Any]) -> Trouble | None:
    """Find what keeps a pod from running: what does not pass of its own first."""
    found = [_trouble_of(one) for one in containers if not one.get("ready")]
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        found.append(Trouble(_word(scheduled)))
    return min(found, key=lambda one: one.is_mild, default=None)


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
    """Return a reason if it is one word, as the API wants it; a container runtime could write anything."""
    reason = said.get("reason") or ""
    return reason if _REASON.fullmatch(reason) else "Unknown"


def _image(container: Mapping[str, Any]) -> str | None:
    image = container.get("image") or ""
    return image if _IMAGE.fullmatch(image) else None
