"""Pods of a namespace that use Secrets, with any owner or none, as one list shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .workload_kinds import type_of

if TYPE_CHECKING:
    from datetime import datetime

    from .workload import Use, Workload

__all__ = ["Controller", "Holders", "HoldingPod", "is_of"]

_MAX_NAME_LENGTH = 253
"""Length of a ReplicaSet's name; its controller truncates the Deployment's name."""


class Controller(NamedTuple):
    """The object that controls a pod, by its owner reference."""

    kind: str
    name: str
    uid: str
    hash: str = ""
    """The hash of the pod template, which the name of a ReplicaSet ends with."""


@dataclass(frozen=True, slots=True)
class HoldingPod:
    """A pod with running containers that uses Secrets by its own spec."""

    name: str
    uid: str
    began: datetime
    """When the container that runs longest was started; the pod's creation if the API does not tell."""
    uses: tuple[Use, ...]
    owner: tuple[str, str]
    """Kind and name of its topmost owner as far as the pod shows it; itself if it has none."""
    controller: Controller | None = None
    leaves: datetime | None = None
    """Since when it is terminating."""

    def use_of(self, secret: str) -> Use | None:
        return next((use for use in self.uses if use.secret == secret), None)


@dataclass(frozen=True, slots=True)
class Holders:
    """Pods with earlier values of one Secret that belong to no workload that uses it by its template."""

    pods: tuple[HoldingPod, ...] = ()
    forbidden: bool = False
    """RBAC forbids to list pods."""
    former: tuple[HoldingPod, ...] = ()
    """Pods that use a Secret under an earlier name of the target, also those of workloads."""
    tried: frozenset[str] = frozenset()
    """UIDs of the pods whose eviction was requested since they were read."""
    again: datetime | None = None
    """When they are read again; None if no later read can differ."""


def is_of(pod: HoldingPod, workload: Workload) -> bool:
    """Whether a workload controls a pod, some kinds by a ReplicaSet whose name has the template's hash."""
    controller = pod.controller
    if controller is None:
        return False
    if type_of(workload.key.kind).pod_hash is None:
        return controller.uid == workload.uid
    suffix = f"-{controller.hash}"
    name = workload.key.name[: _MAX_NAME_LENGTH - len(suffix)] + suffix
    return (controller.kind, controller.name) == ("ReplicaSet", name)
