"""Pods with earlier values after the new ones are ready: which a rollout waits for, and when to read them again.

For its controller a rollout is complete when every new pod is available; terminating pods serve with earlier values
until they have ended. There is no deadline for them, because no revision causes that wait.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState

from .outdated_pods import older_pods, pod_revision
from .pod_failures import pods_known

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyturn.api.status import WorkloadStatus
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import Pod
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = [
    "brings_pods_back",
    "had_what_was_given_up",
    "held_up_before",
    "holds_places",
    "look_again",
    "terminating",
    "waiting_for_pods",
]

_UNREAD = (
    "whether pods with earlier values still run is unknown: the operator may not list pods;"
    " restore its rights"
)
_MIN_INTERVAL, _MAX_INTERVAL = timedelta(seconds=2), timedelta(minutes=1)
_MAX_NAMED = 3


def held_up_before(workload: Workload, observed: Observed) -> bool:
    """Whether an earlier process reported terminating pods that occupy the places of new ones.

    Other users can edit the status; the only consequence is that the deadline counts from now.
    """
    status = observed.managed.status.by_workload.get((workload.kind, workload.key.name))
    return status is not None and status.state is WorkloadState.ROLLING and bool(status.terminating)


def terminating(consumer: Consumer, observed: Observed, desired: Desired) -> int:
    """Return how many pods with earlier values are terminating."""
    return sum(pod.leaves is not None for pod in older_pods(consumer, observed, desired))


def waiting_for_pods(consumer: Consumer, observed: Observed, desired: Desired) -> str | None:
    """Return a message with the pods that the rollout waits for, once new ones are ready; None if there are none."""
    if consumer.pods and consumer.pods.forbidden:
        return _UNREAD
    older = older_pods(consumer, observed, desired)
    ending = [pod for pod in older if pod.leaves]
    running = [pod for pod in older if not pod.leaves]
    messages = [_pods_message(running, "still runs", "still run", observed, desired)] if running else []
    messages += (
        [_pods_message(ending, "is still terminating", "are still terminating", observed, desired)]
        if ending
        else []
    )
    return "; ".join(messages) or None


def holds_places(consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Whether terminating pods in the places of new ones are the only reason why a rollout is overdue."""
    workload, older = consumer.workload, older_pods(consumer, observed, desired)
    if not workload.in_place or workload.complaint or not any(pod.leaves for pod in older):
        return False
    new = (pod for pod in pods_known(consumer) if pod not in older and not pod.leaves)
    return all(pod.ready for pod in new)


def brings_pods_back(consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Whether an incomplete rollout restores an earlier template.

    Its marker is no evidence, because it is the earlier one. Pods of the rolled back revision are; after the last of
    them has ended, the status is used, whose only consequence is to wait for the end of the rollout.
    """
    if any(pod.leaves is None for pod in older_pods(consumer, observed, desired)):
        return True
    workload = consumer.workload
    status = observed.managed.status.by_workload.get((workload.kind, workload.key.name))
    return status is not None and had_what_was_given_up(status, observed)


def had_what_was_given_up(told: WorkloadStatus, observed: Observed) -> bool:
    """Whether the status has the workload with the rolled back revision, or on its way back from it."""
    if observed.held is None:
        return False
    return told.revision == observed.held.number or told.state in {
        WorkloadState.ROLLING,
        WorkloadState.FAILED,
    }


def look_again(consumer: Consumer, observed: Observed, desired: Desired) -> datetime:
    """Return when to read the pods again: after a quarter of their termination so far, between 2 s and 1 min.

    Only a Deployment's status changes when a pod has ended.
    """
    since = [pod.leaves for pod in older_pods(consumer, observed, desired) if pod.leaves]
    pause = (observed.now - min(since)) / 4 if since else _MAX_INTERVAL
    return observed.now + min(max(pause, _MIN_INTERVAL), _MAX_INTERVAL)


def _pods_message(pods: list[Pod], one_is: str, more_are: str, observed: Observed, desired: Desired) -> str:
    count = f"1 pod{_values(pods, observed, desired)} {one_is}"
    if len(pods) > 1:
        count = f"{len(pods)} pods{_values(pods, observed, desired)} {more_are}"
    names = ", ".join(pod.name for pod in pods[:_MAX_NAMED])
    more = f" and {len(pods) - _MAX_NAMED} more" if len(pods) > _MAX_NAMED else ""
    return f"{count}: {names}{more}"


def _values(pods: Iterable[Pod], observed: Observed, desired: Desired) -> str:
    numbers = {pod_revision(pod, observed, desired) for pod in pods}
    known = sorted(number for number in numbers if number is not None)
    if len(known) < len(numbers):
        return " with earlier values"
    listed = " and ".join(str(number) for number in known)
    return f" with revision {listed}" if len(known) == 1 else f" with revisions {listed}"
