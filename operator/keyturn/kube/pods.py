"""Requests for the pods of a workload: a paged list without pods that have ended, a deletion, an eviction."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from . import errors, paths
from .pod_body import belongs_to, pod_of

if TYPE_CHECKING:
    from keyturn.core.observation.pods import Pod
    from keyturn.core.observation.workload import Workload

    from .client import Api

__all__ = ["NOT_ENDED", "PodDetail", "delete_pod", "evict_pod", "may_delete_pods", "pods_of"]

NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"
"""A pod that has ended reads no Secret, even if a finalizer keeps it."""


class PodDetail(enum.Enum):
    """Whether pods are read whole or only their metadata."""

    METADATA = enum.auto()
    WHOLE = enum.auto()


async def pods_of(api: Api, workload: Workload, part: PodDetail) -> tuple[tuple[Pod, ...], int]:
    """Return the pods of a workload, and the number of pages.

    Raises:
        ApiError: They could not be read.
    """
    selected = {"labelSelector": workload.selector, "fieldSelector": NOT_ENDED}
    path = paths.pods(workload.key.namespace)
    pods: list[Pod] = []
    pages = 0
    async for page in api.pages(path, selected, metadata_only=part is PodDetail.METADATA):
        pods = [] if page.first else pods
        pods += (pod_of(body) for body in page.items if belongs_to(body, workload))
        pages += 1
    return tuple(pods), pages


async def may_delete_pods(api: Api, namespace: str) -> bool:
    """Return whether RBAC lets the operator delete pods, which it does not by default."""
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
