"""Which pods with earlier values are waited for when the new ones are ready, and when they are read again.

A rollout is through for its controller when every new pod is available; pods that are terminating serve with earlier
values until they have ended. They are waited for without a deadline: no revision is the cause of that wait.
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
    "whether pods with earlier values still run is unknown: the API server forbids to list pods;"
    " give the operator its rights back"
)
_SOONEST, _LATEST = timedelta(seconds=2), timedelta(minutes=1)
_NAMED = 3


def held_up_before(workload: Workload, observed: Observed) -> bool:
    """Say whether an earlier process told that pods which are terminating hold it up.

    Anybody could have written it: nothing follows but that its deadline counts from now.
    """
    told = observed.managed.status.by_workload.get((workload.kind, workload.key.name))
    return told is not None and told.state is WorkloadState.ROLLING and bool(told.terminating)


def terminating(consumer: Consumer, observed: Observed, desired: Desired) -> int:
    """Count the pods with earlier values that are terminating."""
    return sum(one.leaves is not None for one in older_pods(consumer, observed, desired))


def waiting_for_pods(consumer: Consumer, observed: Observed, desired: Desired) -> str | None:
    """Say which pods with earlier values are waited for, where new ones are ready or need nothing more."""
    if consumer.pods and consumer.pods.forbidden:
        return _UNREAD
    older = older_pods(consumer, observed, desired)
    ending = [one for one in older if one.leaves]
    running = [one for one in older if not one.leaves]
    told = [_told(running, "still runs", "still run", observed, desired)] if running else []
    told += (
        [_told(ending, "is still terminating", "are still terminating", observed, desired)] if ending else []
    )
    return "; ".join(told) or None


def holds_places(consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Say whether a rollout is late for one reason only: pods that are terminating hold the places of new ones."""
    workload, older = consumer.workload, older_pods(consumer, observed, desired)
    if not workload.in_place or workload.complaint or not any(one.leaves for one in older):
        return False
    new = (one for one in pods_known(consumer) if one not in older and not one.leaves)
    return all(one.ready for one in new)


def brings_pods_back(consumer: Consumer, observed: Observed, desired: Desired) -> bool:
    """Say whether its last rollout, which has not ended, brings back a template that it had.

    Its marker cannot tell: it is the one from before. Pods of what was given up can; once the last of them has ended,
    what was told before is believed, of which nothing follows but that its end is waited for.
    """
    if any(one.leaves is None for one in older_pods(consumer, observed, desired)):
        return True
    workload = consumer.workload
    told = observed.managed.status.by_workload.get((workload.kind, workload.key.name))
    return told is not None and had_what_was_given_up(told, observed)


def had_what_was_given_up(told: WorkloadStatus, observed: Observed) -> bool:
    """Say whether a workload was told to have the revision from which there is a return, or to be on its way back."""
    if observed.held is None:
        return False
    return told.revision == observed.held.number or told.state in {
        WorkloadState.ROLLING,
        WorkloadState.FAILED,
    }


def look_again(consumer: Consumer, observed: Observed, desired: Desired) -> datetime:
    """Return when to read its pods again: soon at first, and more and more rarely.

    Only the end of a Deployment's pod is told by a change of its owner.
    """
    since = [one.leaves for one in older_pods(consumer, observed, desired) if one.leaves]
    pause = (observed.now - min(since)) / 4 if since else _LATEST
    return observed.now + min(max(pause, _SOONEST), _LATEST)


def _told(pods: list[Pod], one_is: str, more_are: str, observed: Observed, desired: Desired) -> str:
    count = f"1 pod{_values(pods, observed, desired)} {one_is}"
    if len(pods) > 1:
        count = f"{len(pods)} pods{_values(pods, observed, desired)} {more_are}"
    names = ", ".join(one.name for one in pods[:_NAMED])
    more = f" and {len(pods) - _NAMED} more" if len(pods) > _NAMED else ""
    return f"{count}: {names}{more}"


def _values(pods: Iterable[Pod], observed: Observed, desired: Desired) -> str:
    numbers = {pod_revision(one, observed, desired) for one in pods}
    known = sorted(one for one in numbers if one is not None)
    if len(known) < len(numbers):
        return " with earlier values"
    listed = " and ".join(str(one) for one in known)
    return f" with revision {listed}" if len(known) == 1 else f" with revisions {listed}"
