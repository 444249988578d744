"""Which marker is written on a pod template: what its new pods read, or what stood there before a failed revision."""

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
    """Say whether the pod template asks for a revision later than the current one, which was given up."""
    marked = read_marker(consumer.workload.marker).get(desired.secret)
    return marked is not None and observed.current is not None and marked > observed.current.number


def next_marker(consumer: Consumer, observed: Observed, desired: Desired) -> str:
    """Return the marker that a restart writes; empty where none is to stand there."""
    if observed.current is None:
        return consumer.workload.marker
    plain = marker_for(consumer, desired.secret, observed.current.number)
    if not goes_back(consumer, observed, desired):
        return plain
    before = _marker_before(consumer, observed, desired)
    return plain if before is None else before


def marker_for(consumer: Consumer, secret: str, revision: int) -> str:
    """Return the marker of a restart now: what the new pods will read, of every managed Secret they use."""
    marked = read_marker(consumer.workload.marker)
    used = {use.secret for use in consumer.workload.uses}
    still_used = {name: number for name, number in marked.items() if name in used}
    siblings = {sibling.secret: sibling.revision for sibling in consumer.siblings}
    return write_marker(still_used | siblings | {secret: revision})


def _marker_before(consumer: Consumer, observed: Observed, desired: Desired) -> str | None:
    """Return the marker of the pods that run the wanted values already; None where there is no such pod.

    With exactly that marker the template is the one that they were made from, so that they stay. Pods are what is
    believed: a record of it could be lost, or be written by others.
    """
    staying = [
        one for one in pods_known(consumer) if one.leaves is None and one.marker != consumer.workload.marker
    ]
    # One that was made while the failed revision was published has read that, whatever its template says.
    spoilt = {one.marker for one in staying if not _has_all(one, consumer, observed, desired)}
    counted = Counter(one.marker for one in staying if one.marker not in spoilt)
    return min(counted, key=lambda marker: (-counted[marker], marker), default=None)


def _has_all(pod: Pod, consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Say whether a pod runs the current revision of every managed Secret that its workload uses."""
    marked = read_marker(pod.marker)
    if asks_for_others(pod, consumer, observed, desired):
        return False
    return all(_runs(one, pod, marked.get(one.secret)) for one in consumer.siblings)


def _runs(sibling: Sibling, pod: Pod, marked: int | None) -> bool:
    if marked is not None:
        return marked == sibling.revision
    # Pods that were there before a first revision waited for it.
    is_first = sibling.revision == 1
    return is_first or (sibling.published is not None and pod.created > sibling.published)
