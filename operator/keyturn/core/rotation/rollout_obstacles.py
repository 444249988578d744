"""Obstacles of a workload's restart or rollout: refused restarts, manual steps, and failing pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from keyturn.api.rollout import Restart
from keyturn.api.status import WorkloadState
from keyturn.core.legacy_status import told_reason
from keyturn.core.reasons import WorkloadReason

from .fallback import fallback_of
from .stuck_pods import told_of_stuck

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import Pod
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = [
    "Obstacle",
    "by_hand",
    "crash_of",
    "pause_of",
    "refusal",
    "trouble_of",
    "was_paused",
    "was_reverted",
    "when_late",
    "while_rolling",
    "while_waiting",
    "worst_of",
]


class Obstacle(NamedTuple):
    """Reason and message why a workload does not run the current revision."""

    reason: WorkloadReason
    message: str


def refusal(consumer: Consumer, observed: Observed, desired: Desired) -> Obstacle | None:
    """Return why a workload is never restarted, by its annotation, the spec or another writer; None if it may be."""
    workload = consumer.workload
    if opted_out := _opt_out(workload):
        return opted_out
    if desired.restart is Restart.NONE:
        return Obstacle(WorkloadReason.RESTART_DISABLED, "rollout.restart is None; restart it yourself")
    if desired.restart is Restart.LISTED and workload.key not in desired.targets:
        return Obstacle(WorkloadReason.NOT_LISTED, "is not among rollout.targets; restart it yourself")
    if consumer.use is None and workload.restart is None:
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


def _opt_out(workload: Workload) -> Obstacle | None:
    """Return the refusal by the annotation; a text that is neither never nor allow refuses too."""
    text = workload.restart and workload.restart.lower()
    if text is None or text == "allow":
        return None
    message = "refuses restarts by keyturn.dev/restart: never; restart it yourself"
    if text != "never":
        message = (
            "is not restarted, as its annotation keyturn.dev/restart has a text that is neither never nor allow;"
            " write one of them, or remove it"
        )
    return Obstacle(WorkloadReason.RESTART_NEVER, message)


def was_reverted(workload: Workload, observed: Observed, desired: Desired) -> bool:
    """Whether another writer removed the marker of the current revision.

    The restart is then reported, not repeated.
    """
    current, marked = observed.current, workload.marked(desired.secret)
    if current is None or marked == current.number:
        return False
    status = observed.reported(workload)
    return status is not None and (status.restarted or status.revision) == current.number


def while_rolling(consumer: Consumer) -> Obstacle | None:
    """Return what keeps the rollout of the current revision from completing."""
    return _join(pause_of(consumer), by_hand(consumer), _complaint(consumer), _of_pods(consumer))


def pause_of(consumer: Consumer) -> Obstacle | None:
    """Return the pause that the workload waits for, or None."""
    workload = consumer.workload
    if not workload.paused:
        return None
    return Obstacle(WorkloadReason.PAUSED, f"waits because the {workload.kind} is paused")


def was_paused(workload: Workload, observed: Observed) -> bool:
    """Whether an earlier process reported that the workload was paused during its rollout.

    Other users can edit the status; the only consequence is that the deadline counts from now.
    """
    status = observed.reported(workload)
    if status is None:
        return False
    return (status.state, status.reason) == (WorkloadState.ROLLING, WorkloadReason.PAUSED)


def by_hand(consumer: Consumer) -> Obstacle | None:
    """Return the manual step that the update strategy of the workload requires, or None."""
    hint = consumer.workload.hint
    return Obstacle(WorkloadReason.UPDATED_BY_HAND, hint) if hint else None


def while_waiting(consumer: Consumer) -> Obstacle:
    """Return what keeps an earlier rollout from completing."""
    message = "waits for its current rollout to complete"
    if consumer.workload.aborted:
        message = "waits for its current rollout, which was aborted: retry or undo it"
    waits = Obstacle(WorkloadReason.EARLIER_ROLLOUT, message)
    return _join(_complaint(consumer) or waits, _of_pods(consumer)) or waits


def when_late(consumer: Consumer) -> Obstacle:
    """Return why a rollout has failed: it was aborted, or its deadline has passed."""
    known = [consumer.workload.complaint, told_of_stuck([consumer]) or worst_of(consumer)]
    why = "; ".join(cause for cause in known if cause) or "check its events and pods"
    if consumer.workload.aborted:
        return Obstacle(WorkloadReason.ROLLOUT_ABORTED, f"its rollout was aborted; {why}")
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


# Failing pods


def crash_of(consumer: Consumer, number: int, observed: Observed, desired: Desired) -> str | None:
    """Return a message if the pods with revision `number` crash and the revision can be the cause; else None.

    It cannot if a pod with it is ready, or if there are pods without it and none of those is ready. Without older
    pods, as with strategy Recreate or one replica, a rollback ends nothing healthy, so the revision counts as the
    cause.
    """
    if desired.crashes is None or consumer.pods is None:
        return None
    new, old = _split(consumer, number, desired)
    if any(pod.ready and pod.restarts < desired.crashes for pod in new):
        return None
    if before := _failed_before(consumer, number, observed, desired):
        return before
    crashing = [pod for pod in new if pod.crashes >= desired.crashes and not pod.ready]
    is_its_fault = not old or any(pod.ready for pod in old)
    return f"its new pods crash: {_described(crashing)}" if crashing and is_its_fault else None


def trouble_of(consumer: Consumer) -> str | None:
    """Return a message with a pod that does not run for a reason that does not pass by waiting.

    None if there is none.
    """
    return _described(pod for pod in consumer.known_pods if pod.trouble and not pod.trouble.is_mild)


def worst_of(consumer: Consumer) -> str | None:
    """Return a message with a pod that does not run, including reasons that normally pass."""
    return trouble_of(consumer) or _described(consumer.known_pods)


def _split(consumer: Consumer, number: int, desired: Desired) -> tuple[list[Pod], list[Pod]]:
    """Return the pods with revision `number` and those without, except terminating ones."""
    staying = [pod for pod in consumer.known_pods if not pod.leaves]
    new = [pod for pod in staying if pod.marked(desired.secret) == number]
    return new, [pod for pod in staying if pod not in new]


def _described(pods: Iterable[Pod]) -> str | None:
    """Describe one pod that is not ready: the one with the most crashes, then the first by name."""
    troubled = [pod for pod in pods if pod.trouble and not pod.ready and not pod.leaves]
    if not troubled:
        return None
    first = min(troubled, key=lambda pod: (-pod.crashes, pod.name))
    return f"pod {first.name}: {first.trouble}"


def _failed_before(consumer: Consumer, number: int, observed: Observed, desired: Desired) -> str | None:
    """Return the failure from the status, because a crashing pod is ready for a moment after each restart.

    It counts only if it does not cause a rollback, because other users can edit the status.
    """
    workload = consumer.workload
    status = observed.reported(workload)
    if status is None or status.state is not WorkloadState.FAILED or status.revision != number:
        return None
    is_crash = told_reason(status) == WorkloadReason.CRASH_LOOP
    return status.message if is_crash and fallback_of(observed, desired) is None else None
