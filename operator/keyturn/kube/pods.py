"""Which pods a workload has now: those whose containers have not ended, terminating ones among them.

`pods_of` reads what their metadata tells, `pods_with_readiness` the whole pods. Each is one list in pages, by the
workload's selector; a pod counts as the workload's by its controller.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadKind
from keyturn.core.outdated import PodFacts
from keyturn.core.workload import MARKER

from . import paths

if TYPE_CHECKING:
    from keyturn.core.workload import Workload

    from .client import Api, Body

__all__ = ["pods_of", "pods_with_readiness"]

# A pod that has ended reads nothing any more, however long a finalizer keeps it.
_NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"
_HASH = "pod-template-hash"
_LONGEST_NAME = 253
"""Of a ReplicaSet: its controller cuts what is longer off the Deployment's name."""


async def pods_of(api: Api, workload: Workload) -> tuple[PodFacts, ...]:
    """Read the metadata of the workload's pods."""
    return await _read(api, workload, metadata_only=True)


async def pods_with_readiness(api: Api, workload: Workload) -> tuple[PodFacts, ...]:
    """Read the workload's pods whole, for whether each is ready."""
    return await _read(api, workload, metadata_only=False)


async def _read(api: Api, workload: Workload, *, metadata_only: bool) -> tuple[PodFacts, ...]:
    selected = {"labelSelector": workload.selector, "fieldSelector": _NOT_ENDED}
    found: list[PodFacts] = []
    async for page in api.pages(paths.pods(workload.key.namespace), selected, metadata_only=metadata_only):
        found = [] if page.first else found
        found += (_facts(pod) for pod in page.items if _belongs(pod, workload))
    return tuple(found)


def _belongs(pod: Body, workload: Workload) -> bool:
    """Say whether the workload controls a pod: selectors of two workloads may be the same.

    A Deployment does so by a ReplicaSet, which has its name and the hash of the pod template.
    """
    metadata = pod["metadata"]
    controller = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
    if controller is None:
        return False
    if workload.kind is not WorkloadKind.DEPLOYMENT:
        return bool(controller["uid"] == workload.uid)
    suffix = f"-{(metadata.get('labels') or {}).get(_HASH)}"
    name = workload.key.name[: _LONGEST_NAME - len(suffix)] + suffix
    return (controller["kind"], controller["name"]) == ("ReplicaSet", name)


def _facts(pod: Body) -> PodFacts:
    metadata = pod["metadata"]
    return PodFacts(
        name=metadata["name"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        marker=(metadata.get("annotations") or {}).get(MARKER, ""),
        leaves=_leaves(metadata),
        ready=_is_ready(pod["status"]) if "status" in pod else None,
    )


def _leaves(metadata: Body) -> datetime | None:
    """Read when it was asked to end; the API server notes when its grace period is over."""
    over = metadata.get("deletionTimestamp")
    if over is None:
        return None
    return datetime.fromisoformat(over) - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)


def _is_ready(status: Body) -> bool:
    return any(
        one.get("type") == "Ready" and one.get("status") == "True" for one in status.get("conditions") or ()
    )
