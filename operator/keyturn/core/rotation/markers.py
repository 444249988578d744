"""Restart marker of a pod template: revisions of all managed Secrets that new pods read, or the previous marker."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from keyturn.core.observation.workload import read_marker, write_marker

from .outdated_pods import asks_for_others
from .pod_failures import pods_known

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Consumer, Observed, Sibling
    from keyturn.core.observation.pods import Pod
    from keyturn.core.spec.desired import Desired

__all__ = ["goes_back", "marker_for", "next_marker"]


def goes_back(consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Whether the pod template has a later revision than the current one, which means a rollback."""
    marked = read_marker(consumer.workload.marker).get(desired.secret)
    return marked is not None and observed.current is not None and marked > observed.current.number


def next_marker(consumer: Consumer, observed: Observed, desired: Desired) -> str:
    """Return the marker for a restart; empty to remove it."""
    if observed.current is None:
        return consumer.workload.marker
    plain = marker_for(consumer, desired.secret, observed.current.number)
    if not goes_back(consumer, observed, desired):
        return plain
    before = _marker_before(consumer, observed, desired)
    return plain if before is None else before


def marker_for(consumer: Consumer, secret: str, revision: int) -> str:
    """Return the marker with the current revision of every managed Secret that the workload uses."""
    marked = read_marker(consumer.workload.marker)
    used = {use.secret for use in consumer.workload.uses}
    still_used = {name: number for name, number in marked.items() if name in used}
    siblings = {sibling.secret: sibling.revision for sibling in consumer.siblings}
    return write_marker(still_used | siblings | {secret: revision})


def _marker_before(consumer: Consumer, observed: Observed, desired: Desired) -> str | None:
    """Return the marker of the pods that already run the wanted values; None if there are none.

    With exactly that marker the template equals theirs, so their controller keeps them. Only pods are evidence: a
    recorded marker could be lost or edited.
    """
    staying = [
        pod for pod in pods_known(consumer) if pod.leaves is None and pod.marker != consumer.workload.marker
    ]
    # A pod that started while the failed revision was published has read it, whatever its template says.
    spoilt = {pod.marker for pod in staying if not _has_all(pod, consumer, observed, desired)}
    counted = Counter(pod.marker for pod in staying if pod.marker not in spoilt)
    return min(counted, key=lambda marker: (-counted[marker], marker), default=None)


def _has_all(pod: Pod, consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Whether a pod runs the current revision of every managed Secret of its workload."""
    marked = read_marker(pod.marker)
    if asks_for_others(pod, consumer, observed, desired):
        return False
    return all(_runs(sibling, pod, marked.get(sibling.secret)) for sibling in consumer.siblings)


def _runs(sibling: Sibling, pod: Pod, marked: int | None) -> bool:
    if marked is not None:
        return marked == sibling.revision
    # Pods that are older than a first revision waited for it.
    is_first = sibling.revision == 1
    return is_first or (sibling.published is not None and pod.created > sibling.published)
