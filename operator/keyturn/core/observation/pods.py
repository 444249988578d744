"""Pods: those of a workload, and those of a namespace that use Secrets, with their topmost owners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from keyturn.api.status import Via
from keyturn.core.times import may_precede

from .workload import Use, Workload, read_marker
from .workload_kinds import replica_set_of, type_of

NOT_READY = "NotReady"
"""Reason of a running container whose probe has not succeeded."""
_MILD = frozenset({NOT_READY, "ContainerCreating", "PodInitializing"})
"""Reasons that every starting pod has for a while."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not run: reasons of the API, never its messages, which can quote a value."""

    reason: str
    container: str | None = None
    exit_code: int | None = None
    image: str | None = None
    """Set only if the image is missing."""

    @property
    def is_mild(self) -> bool:
        """Whether it normally passes."""
        return self.reason in _MILD

    def __str__(self) -> str:
        parts = [f"container {self.container}: {self.reason}" if self.container else self.reason]
        parts += [] if self.exit_code is None else [f"exit code {self.exit_code}"]
        parts += [f"image {self.image}"] if self.image else []
        return ", ".join(parts)


class Controller(NamedTuple):
    """The object that controls a pod, by its owner reference."""

    kind: str
    name: str
    uid: str
    hash: str = ""
    """Of a ReplicaSet of a workload: the hash of the pod template, which its name ends with."""
    workload_kind: str = ""
    """The kind of that workload, by the label that has the hash."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with running containers, reduced to what decisions and reports need."""

    name: str
    uid: str
    version: str
    """Its resource version."""
    created: datetime
    began: datetime
    """When the container that runs longest was started; the pod's creation if that is unknown or was not read."""
    owner: tuple[str, str]
    """Kind and name of its topmost owner as far as the pod shows it; itself if it has none."""
    controller: Controller | None = None
    uses: tuple[Use, ...] = ()
    """The Secrets of its own spec; read of all pods of a namespace only."""
    template: str = ""
    """The template revision in the pod's labels, for a StatefulSet and a DaemonSet."""
    marker: str = ""
    """The restart marker of its template."""
    leaves: datetime | None = None
    """Since when it is terminating."""
    ready: bool | None = None
    """None, like everything below, if only its metadata was read."""
    never_ready: bool = False
    """The API proves that it was never ready."""
    restarts: int = 0
    """Restarts of the container with the most restarts."""
    crashes: int = 0
    """Restarts of the container that crashes most and is not ready now."""
    trouble: Trouble | None = None

    def marked(self, secret: str) -> int | None:
        """Return the revision of a Secret by the marker of its template; None if that does not have it."""
        return read_marker(self.marker).get(secret)

    def use_of(self, secret: str) -> Use | None:
        return next((use for use in self.uses if use.secret == secret), None)


@dataclass(frozen=True, slots=True)
class PodsSeen:
    """Result of the last read of a workload's pods, or of the pods with earlier values that no consumer controls."""

    pods: tuple[Pod, ...] = ()
    again: datetime | None = None
    """When they are read again; None for a settled workload, or if no later read can differ."""
    deletable: bool = False
    """At least one may have to be deleted, and RBAC permits it."""
    forbidden: bool = False
    """RBAC forbids to list pods, or the list failed."""
    tried: frozenset[str] = frozenset()
    """UIDs of the pods whose eviction was requested since they were read."""


def is_of(pod: Pod, workload: Workload) -> bool:
    """Whether a workload controls a pod, some kinds by a ReplicaSet whose name has the template's hash."""
    controller = pod.controller
    if controller is None:
        return False
    if type_of(workload.key.kind).pod_hash is None:
        return controller.uid == workload.uid
    name = replica_set_of(workload.key.name, controller.hash)
    return (controller.workload_kind, controller.name) == (workload.key.kind, name)


@dataclass(frozen=True, slots=True)
class Owner:
    """The topmost owner of running pods that use one Secret; a pod without an owner is its own."""

    kind: str
    name: str
    pods: tuple[Pod, ...]
    uses: tuple[Use, ...]
    """How its pods use the Secret."""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def via(self) -> tuple[Via, ...]:
        return tuple(sorted({way for use in self.uses for way in use.via}))

    @property
    def keys(self) -> frozenset[str] | None:
        """The keys that its pods use; None for all."""
        known = [use.keys for use in self.uses if use.keys is not None]
        return frozenset[str]().union(*known) if len(known) == len(self.uses) else None

    @property
    def since(self) -> datetime:
        """Since when the oldest of its pods runs."""
        return min(pod.began for pod in self.pods)

    def started_before(self, published: datetime | None) -> int:
        """Return how many of its pods started before a publication."""
        return sum(published is not None and may_precede(pod.began, published) for pod in self.pods)


def owners_of(pods: Iterable[Pod], secret: str) -> tuple[Owner, ...]:
    """Return the owners of the pods that use a Secret, sorted by kind and name."""
    grouped: defaultdict[tuple[str, str], list[tuple[Pod, Use]]] = defaultdict(list)
    for pod in pods:
        if use := pod.use_of(secret):
            grouped[pod.owner].append((pod, use))
    return tuple(Owner(*owner, *zip(*found, strict=True)) for owner, found in sorted(grouped.items()))
