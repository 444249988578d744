"""Obstacles of a restart or rollout: refused and rejected restarts, manual steps, failing and stuck pods."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from keyturn.api.rotation import Restart
from keyturn.api.workloads import WorkloadState
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.observation.observed import Consumer, Denial, Managed, Observed
from keyturn.core.observation.workload import Pod, Workload, is_of
from keyturn.core.reasons import WorkloadReason
from keyturn.core.spec.desired import Desired
from keyturn.core.times import backoff

from . import steps
from .publication import fallback_of, is_since_rollback

_MIN_DELAY = timedelta(seconds=2)
"""An API server that has just started rejects every request for a few seconds, until it has read the roles."""
_MAX_DELAY = timedelta(minutes=5)
_DENIED = frozenset({WorkloadReason.FORBIDDEN, WorkloadReason.REFUSED, WorkloadReason.NOT_FOUND})
"""Reasons of a rejected restart."""


class Obstacle(NamedTuple):
    """Reason and message why a workload does not run the current revision."""

    reason: WorkloadReason
    message: str


class RecordedRejection(NamedTuple):
    """Rejected restart that an earlier process wrote into the status."""

    state: WorkloadState
    reason: str
    message: str | None


def refusal(consumer: Consumer, observed: Managed) -> Obstacle | None:
    """Return why a workload is never restarted, by its annotation, the spec or another writer; None if it may be."""
    workload = consumer.workload
    if opted_out := _opt_out(workload):
        return opted_out
    if observed.desired.restart is Restart.NONE:
        return Obstacle(WorkloadReason.RESTART_DISABLED, "rollout.restart is None; restart it yourself")
    if observed.desired.restart is Restart.LISTED and workload.key not in observed.desired.targets:
        return Obstacle(WorkloadReason.NOT_LISTED, "is not among rollout.targets; restart it yourself")
    if consumer.use is None and workload.restart is None:
        message = (
            "does not consume the Secret; annotate it with keyturn.dev/restart: allow to have it restarted"
        )
        return Obstacle(WorkloadReason.NOT_CONSUMING, message)
    if was_reverted(workload, observed):
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


def was_reverted(workload: Workload, observed: Managed) -> bool:
    """Whether another writer removed or replaced the marker of a restart with the current revision.

    The restart is then reported, not repeated. This process knows it before the status does. A later marker is of a
    revision that was rolled back, maybe after a restart that the status does not have yet.
    """
    current, marked = observed.current, workload.marked(observed.desired.secret)
    if marked == current.number:
        return False
    if workload.key in observed.restarted:
        return marked != observed.restarted[workload.key].marked
    if marked is not None and marked > current.number and not is_since_rollback(observed):
        return False
    status = observed.reported(workload)
    return status is not None and (status.restarted or status.revision) == current.number


def rollout_obstacle(consumer: Consumer) -> Obstacle | None:
    """Return what keeps the rollout of the current revision from completing."""
    return _join(
        pause_of(consumer), manual_update_obstacle(consumer), _complaint(consumer), _of_pods(consumer)
    )


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


def manual_update_obstacle(consumer: Consumer) -> Obstacle | None:
    """Return the manual step that the update strategy of the workload requires, or None."""
    hint = consumer.workload.hint
    return Obstacle(WorkloadReason.UPDATED_BY_HAND, hint) if hint else None


def earlier_rollout_obstacle(consumer: Consumer) -> Obstacle:
    """Return what keeps an earlier rollout from completing, or its pods from being available."""
    message = "waits for its current rollout to complete"
    if consumer.workload.is_updated:
        message = "waits until all of its pods are available; every pod has its current template"
    if consumer.workload.aborted:
        message = "waits for its current rollout, which was aborted: retry or undo it"
    waits = Obstacle(WorkloadReason.EARLIER_ROLLOUT, message)
    return _join(_complaint(consumer) or waits, _of_pods(consumer)) or waits


def deadline_obstacle(consumer: Consumer) -> Obstacle:
    """Return why a rollout has failed: it was aborted, or its deadline has passed."""
    known = [consumer.workload.complaint, stuck_pod_message([consumer]) or worst_of(consumer)]
    why = "; ".join(cause for cause in known if cause) or "check its events and pods"
    if consumer.workload.aborted:
        return Obstacle(WorkloadReason.ROLLOUT_ABORTED, f"its rollout was aborted; {why}")
    return Obstacle(WorkloadReason.DEADLINE_EXCEEDED, f"its pods did not become available in time; {why}")


def _complaint(consumer: Consumer) -> Obstacle | None:
    complaint = consumer.workload.complaint
    return Obstacle(WorkloadReason.PODS_NOT_CREATED, complaint) if complaint else None


def _of_pods(consumer: Consumer) -> Obstacle | None:
    if stuck := stuck_pod_message([consumer]):
        return Obstacle(WorkloadReason.POD_LEFT_BEHIND, stuck)
    trouble = trouble_of(consumer)
    return Obstacle(WorkloadReason.PODS_NOT_RUNNING, trouble) if trouble else None


def _join(*obstacles: Obstacle | None) -> Obstacle | None:
    """Join messages under the reason of the first obstacle."""
    known = [obstacle for obstacle in obstacles if obstacle]
    return Obstacle(known[0].reason, "; ".join(obstacle.message for obstacle in known)) if known else None


# Failing pods


def crash_of(consumer: Consumer, number: int, observed: Managed) -> str | None:
    """Return a message if the pods with revision `number` crash and the revision can be the cause; else None.

    It cannot if a pod with it is ready, or if there are pods without it and none of those is ready. Without older
    pods, as with strategy Recreate or one replica, a rollback ends nothing healthy, so the revision counts as the
    cause.
    """
    if observed.desired.crashes is None or consumer.pods is None:
        return None
    new, old = _split(consumer, number, observed.desired)
    if any(pod.ready and pod.restarts < observed.desired.crashes for pod in new):
        return None
    if before := _failed_before(consumer, number, observed):
        return before
    crashing = [pod for pod in new if pod.crashes >= observed.desired.crashes and not pod.ready]
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


def _failed_before(consumer: Consumer, number: int, observed: Managed) -> str | None:
    """Return the failure from the status, because a crashing pod is ready for a moment after each restart.

    It counts only if it does not cause a rollback, because other users can edit the status.
    """
    workload = consumer.workload
    status = observed.reported(workload)
    if status is None or status.state is not WorkloadState.FAILED or status.revision != number:
        return None
    is_crash = status.reason == WorkloadReason.CRASH_LOOP
    return status.message if is_crash and fallback_of(observed) is None else None


# Pods that keep their StatefulSet from rolling back
#
# After its template has changed again, a StatefulSet with podManagementPolicy OrderedReady waits for a pod that is
# not ready, even if only another template can make it ready; the pod has to be deleted. Source: Kubernetes,
# "StatefulSets", section "Forced rollback".


def is_left_behind(pod: Pod, workload: Workload) -> bool:
    """Whether a pod of the StatefulSet has an outdated template and is not ready."""
    is_of_no_template = bool(workload.templates) and pod.template not in {"", *workload.templates}
    return is_of_no_template and is_of(pod, workload) and not pod.ready and not pod.leaves


def is_deletable(pod: Pod, workload: Workload, secret: str, rolled_back: int) -> bool:
    """Whether a pod may be deleted: it has the rolled back revision and was never ready with it.

    The template must have changed since, because otherwise the same pod would be recreated.
    """
    has_it = pod.marked(secret) == rolled_back
    asks_for_it = workload.marked(secret) == rolled_back
    return is_left_behind(pod, workload) and pod.never_ready and has_it and not asks_for_it


def pod_to_delete(observed: Managed) -> steps.DeletePod | None:
    """Return the deletion of a pod that keeps its StatefulSet from rolling back; only during a rollback."""
    if observed.rollback_pause is None:
        return None
    for consumer in observed.consumers:
        denial = denial_of(consumer.workload, observed)
        if denial and observed.now < denial.attempts.again:
            continue
        for pod in consumer.known_pods if consumer.pods and consumer.pods.deletable else ():
            if is_deletable(pod, consumer.workload, observed.desired.secret, observed.rollback_pause.number):
                return steps.DeletePod(consumer, pod, observed.rollback_pause.number)
    return None


def stuck_pod_message(consumers: Iterable[Consumer]) -> str | None:
    """Return a message with a pod that has to be deleted, and the command for it."""
    for consumer in consumers:
        workload = consumer.workload
        for pod in consumer.known_pods:
            if is_left_behind(pod, workload):
                return (
                    f"{workload.key} does not replace pod {pod.name}, which is not ready and of a template that was"
                    f" rolled back; run: {delete_command(workload.key.namespace, pod.name)}"
                )
    return None


def delete_command(namespace: str, pod: str) -> str:
    """Return the command with which a user deletes a pod."""
    return f"kubectl delete pod {pod} -n {namespace}"


# Restarts that the API server rejects
#
# One is retried after 2 s, doubling to 5 min, and has failed after the progress deadline. Its history is in memory. A
# rejection that an earlier process wrote into the status is shown until the next attempt, but causes no rollback,
# because other users can edit the status.


def denied_again(
    before: Denial | None, error: Wait | Stalled, workload: Workload, observed: Managed
) -> Denial:
    """Return the denial after another rejection; each one in a row doubles the delay."""
    number = observed.current.number
    known = before if before and before.number == number else None
    since = known.since if known else _rejected_since(workload, observed)
    failures = known.attempts.failures + 1 if known else 1
    again = observed.now + backoff(_MIN_DELAY, failures, _MAX_DELAY)
    return Denial(number, since, Attempts(error, again, failures))


def _rejected_since(workload: Workload, observed: Managed) -> datetime:
    """Return since when its restart is rejected: now, or the publication if the status has it as failed."""
    rejection = reported_rejection(workload, observed)
    published = observed.target_published
    if published is None or rejection is None or rejection.state is not WorkloadState.FAILED:
        return observed.now
    return published if published + observed.desired.progress_deadline <= observed.now else observed.now


def denial_of(workload: Workload, observed: Managed) -> Denial | None:
    """Return the rejection of its restart for the current revision, if there is one."""
    denial = observed.denials.get(workload.key)
    return denial if denial and denial.number == observed.current.number else None


def denied_until(workload: Workload, observed: Managed) -> datetime | None:
    """Return when its progress changes next: the retry, or the progress deadline."""
    denial = denial_of(workload, observed)
    if denial is None:
        return None
    times = (denial.attempts.again, denial.since + observed.desired.progress_deadline)
    return min((when for when in times if when > observed.now), default=None)


def reported_rejection(workload: Workload, observed: Managed) -> RecordedRejection | None:
    """Return the rejection that the status has for its restart, to be shown until the next attempt.

    A failure counts only if it causes no rollback.
    """
    if observed.managed.status.revision != observed.current.number:
        return None
    workload_status = observed.reported(workload)
    reason = workload_status.reason if workload_status else None
    if workload_status is None or reason not in _DENIED:
        return None
    has_failed = workload_status.state is WorkloadState.FAILED and fallback_of(observed) is None
    state = WorkloadState.FAILED if has_failed else WorkloadState.PENDING
    return RecordedRejection(state, str(reason), workload_status.message)
