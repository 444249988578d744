"""Pod templates and pods whose values differ from the current revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.observation.workload import read_marker

from .pod_failures import pods_known
from .revision_diff import missed_keys, revision_run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyturn.core.observation.observed import Consumer, Observed
    from keyturn.core.observation.pods import Pod
    from keyturn.core.spec.desired import Desired

__all__ = ["are_newer", "asks_for_others", "older_pods", "pod_revision", "published", "runs_other_values"]


def runs_other_values(consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Whether its pod template, by marker and age, has other values of the keys that it consumes."""
    workload = consumer.workload
    return _misses(read_marker(workload.marker).get(desired.secret), workload.created, consumer, observed)


def older_pods(consumer: Consumer, observed: Observed, desired: Desired) -> tuple[Pod, ...]:
    """Return its pods with other values, sorted by name; none if pods were not read."""
    older = (pod for pod in pods_known(consumer) if _is_older(pod, consumer, observed, desired))
    return tuple(sorted(older, key=lambda pod: pod.name))


def are_newer(pods: Iterable[Pod], published: datetime) -> bool:
    """Whether each pod was created after `published`, terminating ones excepted; true for no pods."""
    # Creation times have whole seconds: a pod of the same second may have read the previous values.
    return all(pod.created > published or pod.leaves for pod in pods)


def pod_revision(pod: Pod, observed: Observed, desired: Desired) -> int | None:
    """Return the revision that a pod was started with, if known."""
    if observed.state is None:
        return None
    marked = read_marker(pod.marker).get(desired.secret)
    return revision_run(observed.state, marked, pod.created, published(observed))


def published(observed: Observed) -> datetime:
    """Return when the current revision was published, or generated if it is not published yet."""
    stamp = observed.target.published if observed.target else None
    return stamp or (observed.current.made if observed.current else observed.now)


def asks_for_others(pod: Pod, consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Whether the template of a pod, by marker and age, has other values."""
    return _misses(read_marker(pod.marker).get(desired.secret), pod.created, consumer, observed)


def _is_older(pod: Pod, consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    # Creation times have whole seconds: a pod of the same second may have read the previous values.
    if pod.created > published(observed):
        return False
    # The age alone is too weak a reason to wait for the end of a running pod without marker.
    has_ground = pod.leaves is not None or desired.secret in read_marker(pod.marker)
    return has_ground and asks_for_others(pod, consumer, observed, desired)


def _misses(marked: int | None, created: datetime, consumer: Consumer, observed: Observed) -> bool:
    if observed.state is None:
        return False
    missed = missed_keys(observed.state, marked, created, published(observed))
    if missed is None:
        return True
    if consumer.use is None or consumer.use.keys is None:
        return bool(missed)
    return bool(missed & consumer.use.keys)
