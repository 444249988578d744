"""Pods of a workload: the template of each, what keeps it from running, and crash loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .workload import read_marker

if TYPE_CHECKING:
    from datetime import datetime


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


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with running containers, reduced to what a rollout needs."""

    name: str
    uid: str
    version: str
    """Its resource version."""
    owner: str
    """UID of its controller, the workload or one of its ReplicaSets."""
    template: str
    """The template revision in the pod's labels, for a StatefulSet and a DaemonSet."""
    created: datetime
    marker: str
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


@dataclass(frozen=True, slots=True)
class PodsSeen:
    """Result of the last read of a workload's pods."""

    again: datetime | None = None
    """When they are read again during a rollout; None for a settled workload."""
    pods: tuple[Pod, ...] = ()
    deletable: bool = False
    """At least one may have to be deleted, and RBAC permits it."""
    forbidden: bool = False
    """RBAC forbids to list pods, or the list failed."""
