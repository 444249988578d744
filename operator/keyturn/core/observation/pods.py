"""What is known of the pods of a workload: what each was made from, what keeps it from running, and a crash loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


__all__ = ["NOT_READY", "Pod", "PodsSeen", "Trouble"]

NOT_READY = "NotReady"
"""The reason of a container that runs and whose probe has not succeeded."""
_MILD = frozenset({NOT_READY, "ContainerCreating", "PodInitializing"})
"""Every pod that starts passes through these."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not run: reasons of the API, never its messages, which can quote a value."""

    reason: str
    container: str | None = None
    exit_code: int | None = None
    image: str | None = None
    """Only where it is the image that is missing."""

    @property
    def is_mild(self) -> bool:
        """It is expected to pass."""
        return self.reason in _MILD

    def __str__(self) -> str:
        parts = [f"container {self.container}: {self.reason}" if self.container else self.reason]
        parts += [] if self.exit_code is None else [f"exit code {self.exit_code}"]
        parts += [f"image {self.image}"] if self.image else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod whose containers have not ended, as far as a rollout needs it."""

    name: str
    uid: str
    version: str
    """Its resource version."""
    owner: str
    """The UID of its controller, be it the workload or a ReplicaSet of it."""
    template: str
    """Which revision of its template its controller made it from, for a StatefulSet and a DaemonSet."""
    created: datetime
    marker: str
    """The marker of the pod template that it was made from."""
    leaves: datetime | None = None
    """Since when it is terminating."""
    ready: bool | None = None
    """None, and none of what follows is known, where only its metadata was read."""
    never_ready: bool = False
    """The API shows that no moment of its life was a ready one."""
    restarts: int = 0
    """Of the container that was restarted most."""
    crashes: int = 0
    """Restarts of the container that crashes most and is not ready now."""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class PodsSeen:
    """What the last read of a workload's pods has found."""

    again: datetime | None = None
    """When they are read again while its rollout is under way; None of a workload that is settled."""
    pods: tuple[Pod, ...] = ()
    deletable: bool = False
    """A pod was found that may have to be deleted, and the operator has the right to."""
    forbidden: bool = False
    """They could not be read: the operator lacks the right."""
