"""Checks that the pods of the operator's Deployment are ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyturn.kube import errors, paths

from .point import Point
from .rights import Account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.kube.client import Api

_NAME: Final = "keyturn"
_POINT: Final = "deployment"
_LABELS: Final = {"labelSelector": "app.kubernetes.io/name=keyturn"}


@dataclass(frozen=True, slots=True)
class Deployed:
    """State of the operator's Deployment."""

    replicas: int
    account: Account
    image: str
    args: tuple[str, ...]
    pods: tuple[dict[str, Any], ...]


async def find(api: Api, namespace: str) -> Deployed | None:
    """Read the Deployment and its pods; None if it does not exist.

    Raises:
        ApiError: A read failed.
    """
    try:
        body = await api.get(paths.workload("Deployment", namespace, _NAME))
    except errors.NotFound:
        return None
    pods = [pod async for page in api.pages(paths.pods(namespace), _LABELS) for pod in page.items]
    template = body["spec"]["template"]["spec"]
    container = next(
        (one for one in template["containers"] if one["name"] == _NAME), template["containers"][0]
    )
    return Deployed(
        int(body["spec"].get("replicas", 1)),
        Account(namespace, template.get("serviceAccountName") or "default"),
        container["image"],
        tuple(container.get("args", ())),
        tuple(pod for pod in pods if "deletionTimestamp" not in pod["metadata"]),
    )


def point_of(found: Deployed | None, namespace: str) -> Point:
    if found is None:
        advice = "install Keyturn, or name its namespace with --namespace; from a checkout there is none"
        return Point.warn(_POINT, f"there is no Deployment {_NAME} in namespace {namespace}", advice)
    if found.replicas == 0:
        advice = f"kubectl scale deployment {_NAME} -n {namespace} --replicas=2"
        return Point.warn(_POINT, "it is scaled to 0 replicas", advice)
    unready = [f"{pod['metadata']['name']}: {why}" for pod in found.pods if (why := _why_unready(pod))]
    ready = len(found.pods) - len(unready)
    if ready >= found.replicas and not unready:
        return Point.ok(_POINT, f"{ready} of {found.replicas} pods are ready, image {found.image}")
    said = "; ".join([f"{ready} of {found.replicas} pods are ready", *unready])
    advice = f"kubectl describe pods -n {namespace} -l app.kubernetes.io/name=keyturn, and kubectl logs of the same"
    return Point.warn(_POINT, said, advice) if ready else Point.failed(_POINT, said, advice)


def _why_unready(pod: dict[str, Any]) -> str:
    """Return why a pod is not ready, from its status; empty if it is."""
    conditions = {one["type"]: one for one in pod.get("status", {}).get("conditions", ())}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', 'no node takes it')}"
    if not pod.get("status", {}).get("containerStatuses"):
        return "no container is started yet"
    return ", ".join(_states(pod)) or "its container runs and /readyz does not answer with ok"


def _states(pod: dict[str, Any]) -> Iterator[str]:
    """Yield the states of containers by reason; their messages may quote a log."""
    for one in pod["status"].get("containerStatuses", ()):
        last = one.get("lastState", {}).get("terminated")
        ended = f", last ended with {last['reason']} ({last['exitCode']})" if last else ""
        for kind in ("waiting", "terminated"):
            if state := one.get("state", {}).get(kind):
                yield f"{state.get('reason', kind)} (image {one['image']}){ended}"
