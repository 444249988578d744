"""How the pods of a workload are read while its rollout is under way, and how one of them is deleted."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from keyturn.core.pods import NOT_READY, Pod, Trouble
from keyturn.core.workload import MARKER

from . import errors, paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.core.workload import Workload

    from .client import Api, Body

__all__ = ["delete_pod", "may_delete_pods", "pod_of", "pods_of"]

_ENDED = frozenset({"Succeeded", "Failed"})
_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"}
)
_TEMPLATE = "controller-revision-hash"
_WHOLE_SECONDS = timedelta(seconds=1)
"""What two times of one moment may differ by: the API has no fractions."""
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}")


async def pods_of(api: Api, workload: Workload) -> tuple[tuple[Pod, ...], int]:
    """Read the pods that a controller has made for the workload, and say in how many pages they came."""
    selected = {"labelSelector": workload.selector}
    found: list[Pod] = []
    pages = 0
    async for page in api.pages(paths.pods(workload.key.namespace), selected):
        found = [] if page.first else found
        found += (pod for body in page.items if (pod := pod_of(body)))
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


def pod_of(body: Body) -> Pod | None:
    """Read what a rollout needs to know of a pod; None for one that has ended or that no controller has made."""
    metadata, status = body["metadata"], body.get("status") or {}
    owner = next((one["uid"] for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
    if owner is None or status.get("phase") in _ENDED:
        return None
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    ready = _condition(status, "Ready")
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        owner=owner,
        template=(metadata.get("labels") or {}).get(_TEMPLATE, ""),
        marker=(metadata.get("annotations") or {}).get(MARKER, ""),
        ready=ready.get("status") == "True",
        never_ready=_was_never_ready(ready, status),
        ending="deletionTimestamp" in metadata,
        restarts=_most(containers),
        crashes=_most(one for one in containers if _crashes(one)),
        trouble=_trouble(containers, status),
    )


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
