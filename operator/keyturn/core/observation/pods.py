"""What is known of the pods of a workload: what each was made from, what keeps it from running, and a crash loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadReason, WorkloadState
from keyturn.core.rotation.restart_backoff import fallback_of, told_reason

from .workload import read_marker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyturn.core.spec.desired import Wanted

    from .observed import Consumer, Seen

__all__ = ["NOT_READY", "Pod", "PodsSeen", "Trouble", "crash_of", "pods_known", "trouble_of", "worst_of"]

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


def pods_known(consumer: Consumer) -> tuple[Pod, ...]:
    """Return what the last read of its pods has found; none where they were not read."""
    return consumer.pods.pods if consumer.pods else ()


def crash_of(consumer: Consumer, number: int, seen: Seen, wanted: Wanted) -> str | None:
    """Say that the pods with revision `number` crash again and again, where that can be its fault.

    It is not where a pod with it is ready, nor where there are pods without it and none of them is ready. Where no
    pod without it is left, as with the strategy Recreate or one replica, nothing that is healthy ends by going back.
    """
    if wanted.crashes is None or consumer.pods is None:
        return None
    new, old = _split(consumer, number, wanted)
    if any(pod.ready and pod.restarts < wanted.crashes for pod in new):
        return None
    if before := _failed_before(consumer, number, seen, wanted):
        return before
    crashing = [pod for pod in new if pod.crashes >= wanted.crashes and not pod.ready]
    is_its_fault = not old or any(pod.ready for pod in old)
    return f"its new pods crash: {_described(crashing)}" if crashing and is_its_fault else None


def trouble_of(consumer: Consumer) -> str | None:
    """Say what keeps a pod from running that will not pass of its own."""
    return _described(pod for pod in pods_known(consumer) if pod.trouble and not pod.trouble.is_mild)


def worst_of(consumer: Consumer) -> str | None:
    """Say what keeps a pod from running, be it expected to pass."""
    return trouble_of(consumer) or _described(pods_known(consumer))


def _split(consumer: Consumer, number: int, wanted: Wanted) -> tuple[list[Pod], list[Pod]]:
    """Return the pods with revision `number` and those without, of those that stay."""
    staying = [pod for pod in pods_known(consumer) if not pod.leaves]
    new = [pod for pod in staying if read_marker(pod.marker).get(wanted.secret) == number]
    return new, [pod for pod in staying if pod not in new]


def _described(pods: Iterable[Pod]) -> str | None:
    """Name one pod that is not ready: the one that crashes most, and of several the first by name."""
    troubled = [pod for pod in pods if pod.trouble and not pod.ready and not pod.leaves]
    if not troubled:
        return None
    first = min(troubled, key=lambda pod: (-pod.crashes, pod.name))
    return f"pod {first.name}: {first.trouble}"


def _failed_before(consumer: Consumer, number: int, seen: Seen, wanted: Wanted) -> str | None:
    """Return the failure that the status has: a pod that crashes is ready for a moment after each restart.

    It is believed only where no return to an earlier revision follows from it: anybody could have written it.
    """
    workload = consumer.workload
    said = seen.managed.status.by_workload.get((workload.kind, workload.key.name))
    if said is None or said.state is not WorkloadState.FAILED or said.revision != number:
        return None
    is_crash = told_reason(said) == WorkloadReason.CRASH_LOOP
    return said.message if is_crash and fallback_of(seen, wanted) is None else None
