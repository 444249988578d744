"""Obstacles of a workload's restart or rollout, with reason code and message."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from keyturn.api.rollout import Restart
from keyturn.api.status import WorkloadReason
from keyturn.core.observation.workload import read_marker

from .pod_failures import trouble_of, worst_of
from .stuck_pods import told_of_stuck

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = [
    "Obstacle",
    "by_hand",
    "refusal",
    "was_reverted",
    "when_late",
    "while_rolling",
    "while_waiting",
]


class Obstacle(NamedTuple):
    """Reason and message why a workload does not run the current revision."""

    reason: WorkloadReason
    message: str


def refusal(consumer: Consumer, observed: Observed, desired: Desired) -> Obstacle | None:
    """Return why a workload is never restarted, by its annotation, the spec or another writer; None if it may be."""
    workload = consumer.workload
    if workload.restart == "never":
        message = "refuses restarts by keyturn.dev/restart: never; restart it yourself"
        return Obstacle(WorkloadReason.RESTART_NEVER, message)
    if desired.restart is Restart.NONE:
        return Obstacle(WorkloadReason.RESTART_DISABLED, "rollout.restart is None; restart it yourself")
    if desired.restart is Restart.LISTED and workload.key not in desired.targets:
        return Obstacle(WorkloadReason.NOT_LISTED, "is not among rollout.targets; restart it yourself")
    if consumer.use is None and workload.restart != "allow":
        message = (
            "does not consume the Secret; annotate it with keyturn.dev/restart: allow to have it restarted"
        )
        return Obstacle(WorkloadReason.NOT_CONSUMING, message)
    if was_reverted(workload, observed, desired):
        message = (
            "another writer removed keyturn.dev/secret-versions from its pod template after the restart;"
            " exclude the annotation from that tool, or restart it yourself"
        )
        return Obstacle(WorkloadReason.MARKER_REMOVED, message)
    return None


def was_reverted(workload: Workload, observed: Observed, desired: Desired) -> bool:
    """Whether another writer removed the marker of the current revision.

    The restart is then reported, not repeated.
    """
    current, marked = observed.current, read_marker(workload.marker).get(desired.secret)
    if current is None or marked == current.number:
        return False
    status = observed.managed.status.by_workload.get((workload.kind, workload.key.name))
    return status is not None and (status.restarted or status.revision) == current.number


def while_rolling(consumer: Consumer) -> Obstacle | None:
    """Return what keeps the rollout of the current revision from completing."""
    return _join(by_hand(consumer), _complaint(consumer), _of_pods(consumer))


def by_hand(consumer: Consumer) -> Obstacle | None:
    """Return the manual step that the update strategy of the workload requires, or None."""
    hint = consumer.workload.hint
    return Obstacle(WorkloadReason.UPDATED_BY_HAND, hint) if hint else None


def while_waiting(consumer: Consumer) -> Obstacle:
    """Return what keeps an earlier rollout from completing."""
    waits = Obstacle(WorkloadReason.EARLIER_ROLLOUT, "waits for its current rollout to complete")
    return _join(_complaint(consumer) or waits, _of_pods(consumer)) or waits


def when_late(consumer: Consumer) -> Obstacle:
    """Return why a workload has missed its deadline."""
    known = [consumer.workload.complaint, told_of_stuck([consumer]) or worst_of(consumer)]
    why = "; ".join(cause for cause in known if cause) or "check its events and pods"
    return Obstacle(WorkloadReason.DEADLINE_EXCEEDED, f"its pods did not become available in time; {why}")


def _complaint(consumer: Consumer) -> Obstacle | None:
    complaint = consumer.workload.complaint
    return Obstacle(WorkloadReason.PODS_NOT_CREATED, complaint) if complaint else None


def _of_pods(consumer: Consumer) -> Obstacle | None:
    if stuck := told_of_stuck([consumer]):
        return Obstacle(WorkloadReason.POD_LEFT_BEHIND, stuck)
    trouble = trouble_of(consumer)
    return Obstacle(WorkloadReason.PODS_NOT_RUNNING, trouble) if trouble else None


def _join(*obstacles: Obstacle | None) -> Obstacle | None:
    """Join messages under the reason of the first obstacle."""
    known = [obstacle for obstacle in obstacles if obstacle]
    return Obstacle(known[0].reason, "; ".join(obstacle.message for obstacle in known)) if known else None
