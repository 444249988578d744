"""What keeps a workload from its restart, or its rollout from the end, as far as it is known."""

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
    """What keeps a workload from running the current revision."""

    reason: WorkloadReason
    message: str


def refusal(consumer: Consumer, observed: Observed, desired: Desired) -> Obstacle | None:
    """Say why a workload is not restarted at all: its annotation, the spec, or another program decides that."""
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
            "somebody else took keyturn.dev/secret-versions off its pod template after the restart;"
            " have that tool leave the annotation alone, or restart it yourself"
        )
        return Obstacle(WorkloadReason.MARKER_REMOVED, message)
    return None


def was_reverted(workload: Workload, observed: Observed, desired: Desired) -> bool:
    """Say whether it was restarted for the current revision already: who undoes that is told, not fought."""
    current, marked = observed.current, read_marker(workload.marker).get(desired.secret)
    if current is None or marked == current.number:
        return False
    told = observed.managed.status.by_workload.get((workload.kind, workload.key.name))
    return told is not None and (told.restarted or told.revision) == current.number


def while_rolling(consumer: Consumer) -> Obstacle | None:
    """Say what keeps the rollout of the current revision from its end."""
    return _joined(by_hand(consumer), _complaint(consumer), _of_pods(consumer))


def by_hand(consumer: Consumer) -> Obstacle | None:
    """Say why a person has to end the rollout, where the update strategy of the workload asks for that."""
    hint = consumer.workload.hint
    return Obstacle(WorkloadReason.UPDATED_BY_HAND, hint) if hint else None


def while_waiting(consumer: Consumer) -> Obstacle:
    """Say what keeps an earlier rollout from its end."""
    waits = Obstacle(WorkloadReason.EARLIER_ROLLOUT, "waits for its last rollout to finish")
    return _joined(_complaint(consumer) or waits, _of_pods(consumer)) or waits


def when_late(consumer: Consumer) -> Obstacle:
    """Say why a workload has missed its deadline."""
    known = [consumer.workload.complaint, told_of_stuck([consumer]) or worst_of(consumer)]
    why = "; ".join(one for one in known if one) or "see its events and its pods"
    return Obstacle(WorkloadReason.DEADLINE_EXCEEDED, f"its pods did not become available in time; {why}")


def _complaint(consumer: Consumer) -> Obstacle | None:
    complaint = consumer.workload.complaint
    return Obstacle(WorkloadReason.PODS_NOT_CREATED, complaint) if complaint else None


def _of_pods(consumer: Consumer) -> Obstacle | None:
    if stuck := told_of_stuck([consumer]):
        return Obstacle(WorkloadReason.POD_LEFT_BEHIND, stuck)
    trouble = trouble_of(consumer)
    return Obstacle(WorkloadReason.PODS_NOT_RUNNING, trouble) if trouble else None


def _joined(*obstacles: Obstacle | None) -> Obstacle | None:
    """Name all of them under the reason of the first."""
    known = [one for one in obstacles if one]
    return Obstacle(known[0].reason, "; ".join(one.message for one in known)) if known else None
