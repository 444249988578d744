"""Failures of a workload's pods, and whether a revision is the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadReason, WorkloadState
from keyturn.core.observation.workload import read_marker

from .restart_backoff import fallback_of, told_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import Pod
    from keyturn.core.spec.desired import Desired

__all__ = ["crash_of", "pods_known", "trouble_of", "worst_of"]


def pods_known(consumer: Consumer) -> tuple[Pod, ...]:
    """Return the pods of the last read; empty if pods were not read."""
    return consumer.pods.pods if consumer.pods else ()


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
    return _described(pod for pod in pods_known(consumer) if pod.trouble and not pod.trouble.is_mild)


def worst_of(consumer: Consumer) -> str | None:
    """Return a message with a pod that does not run, including reasons that normally pass."""
    return trouble_of(consumer) or _described(pods_known(consumer))


def _split(consumer: Consumer, number: int, desired: Desired) -> tuple[list[Pod], list[Pod]]:
    """Return the pods with revision `number` and those without, except terminating ones."""
    staying = [pod for pod in pods_known(consumer) if not pod.leaves]
    new = [pod for pod in staying if read_marker(pod.marker).get(desired.secret) == number]
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
    status = observed.managed.status.by_workload.get((workload.kind, workload.key.name))
    if status is None or status.state is not WorkloadState.FAILED or status.revision != number:
        return None
    is_crash = told_reason(status) == WorkloadReason.CRASH_LOOP
    return status.message if is_crash and fallback_of(observed, desired) is None else None
