"""Pods that keep their StatefulSet from rolling back, and which of them are deleted.

After its template has changed again, a StatefulSet with podManagementPolicy OrderedReady waits for a pod that is not
ready, even if only another template can make it ready; the pod has to be deleted. Source: Kubernetes, "StatefulSets",
section "Forced rollback".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import steps
from .rejected_restarts import denial_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import Pod
    from keyturn.core.observation.workload import Workload
    from keyturn.core.spec.desired import Desired

__all__ = ["delete_command", "is_deletable", "is_left_behind", "pod_to_delete", "told_of_stuck"]


def is_left_behind(pod: Pod, workload: Workload) -> bool:
    """Whether a pod of the StatefulSet has an outdated template and is not ready."""
    is_of_no_template = bool(workload.templates) and pod.template not in {"", *workload.templates}
    return is_of_no_template and pod.owner == workload.uid and pod.ready is False and not pod.leaves


def is_deletable(pod: Pod, workload: Workload, secret: str, withdrawn: int) -> bool:
    """Whether a pod may be deleted: it has the rolled back revision and was never ready with it.

    The template must have changed since, because otherwise the same pod would be recreated.
    """
    has_it = pod.marked(secret) == withdrawn
    asks_for_it = workload.marked(secret) == withdrawn
    return is_left_behind(pod, workload) and pod.never_ready and has_it and not asks_for_it


def pod_to_delete(observed: Observed, desired: Desired) -> steps.DeletePod | None:
    """Return the deletion of a pod that keeps its StatefulSet from rolling back; only during a rollback."""
    if observed.held is None:
        return None
    for consumer in observed.consumers:
        denial = denial_of(consumer.workload, observed)
        if consumer.pods is None or not consumer.pods.deletable or (denial and observed.now < denial.again):
            continue
        for pod in consumer.pods.pods:
            if is_deletable(pod, consumer.workload, desired.secret, observed.held.number):
                return steps.DeletePod(consumer, pod, observed.held.number)
    return None


def told_of_stuck(consumers: Iterable[Consumer]) -> str | None:
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
