"""Which pods with earlier values are waited for when the new ones are ready, and when they are read.

A rollout is through for its controller when every new pod is available; pods that are terminating serve with earlier
values until they have ended. They are waited for without a deadline: no revision is the cause of that wait.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.api.status import WorkloadState

from .outdated import older_pods, pod_revision
from .renewal import CREATED
from .workload import read_marker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .outdated import PodFacts
    from .rollout import Standing
    from .seen import Consumer, Seen
    from .wanted import Wanted
    from .workload import Workload

__all__ = [
    "ROLLED_BACK",
    "held_up_before",
    "holds_places",
    "look_again",
    "needs_pods",
    "needs_readiness",
    "waiting_for_pods",
]

ROLLED_BACK = "RolledBack"
"""The reason of a revision's entry in the history when it came back."""
_UNREAD = (
    "whether pods with earlier values still run is unknown: the API server forbids to list pods;"
    " give the operator its rights back"
)
_ENDING = "still terminating"
_SOONEST, _LATEST = timedelta(seconds=2), timedelta(minutes=1)
_NAMED = 3


def needs_pods(standing: Standing, seen: Seen, wanted: Wanted) -> bool:
    """Say whether its pods decide if it counts as current: until that was told of the revision, never at rest."""
    consumer, workload = standing.consumer, standing.consumer.workload
    if standing.state is not WorkloadState.CURRENT or _is_asserted(seen):
        return False
    if workload.settled and workload.terminates is False:
        return False  # its controller counts them itself
    if consumer.renewed or seen.held:
        return True
    return seen.current is not None and read_marker(workload.marker).get(wanted.secret) == seen.current.number


def needs_readiness(standing: Standing) -> bool:
    """Say whether its pods decide if it has failed: old ones may hold the places of new ones."""
    consumer, workload = standing.consumer, standing.consumer.workload
    if not workload.in_place or workload.terminates is False or standing.denied:
        return False
    is_held_up = standing.state is WorkloadState.ROLLING and consumer.held_up is not None
    return standing.state is WorkloadState.FAILED or is_held_up


def held_up_before(workload: Workload, seen: Seen) -> bool:
    """Say whether an earlier process told that pods which are terminating hold it up.

    Anybody could have written it: nothing follows but that its deadline counts from now.
    """
    told = seen.managed.status.by_workload.get((workload.kind, workload.key.name))
    return told is not None and told.state is WorkloadState.ROLLING and _ENDING in (told.message or "")


def waiting_for_pods(consumer: Consumer, seen: Seen, wanted: Wanted) -> str | None:
    """Say which pods with earlier values are waited for, where new ones are ready or need nothing more."""
    if consumer.pods_unread:
        return _UNREAD
    older = older_pods(consumer, seen, wanted)
    ending = [one for one in older if one.leaves]
    running = [one for one in older if not one.leaves]
    told = [_told(running, "still runs", "still run", seen, wanted)] if running else []
    told += [_told(ending, f"is {_ENDING}", f"are {_ENDING}", seen, wanted)] if ending else []
    return "; ".join(told) or None


def holds_places(consumer: Consumer, seen: Seen, wanted: Wanted) -> bool:
    """Say whether a rollout is late for one reason only: pods that are terminating hold the places of new ones."""
    workload, older = consumer.workload, older_pods(consumer, seen, wanted)
    if not workload.in_place or workload.complaint or not any(one.leaves for one in older):
        return False
    new = (one for one in consumer.pods if one not in older and not one.leaves)
    return all(one.ready for one in new)


def look_again(consumer: Consumer, seen: Seen, wanted: Wanted) -> datetime:
    """Return when to read its pods again: soon at first, and more and more rarely.

    Only the end of a Deployment's pod is told by a change of its owner.
    """
    since = [one.leaves for one in older_pods(consumer, seen, wanted) if one.leaves]
    pause = (seen.now - min(since)) / 4 if since else _LATEST
    return seen.now + min(max(pause, _SOONEST), _LATEST)


def _is_asserted(seen: Seen) -> bool:
    """Say whether it was told before that every workload runs the current revision, and nothing new follows from it.

    The status can be written by others: an overlap does not begin because of what stands there.
    """
    current, history = seen.current, seen.managed.status.history
    if current is None or seen.state is None:
        return True
    if all(one.reason == CREATED for one in seen.state.revisions):
        return True  # there is nothing earlier
    if current.overlaps and current.valid_until is None:
        return False
    if seen.held is None:
        return any(entry.revision == current.number for entry in history)
    back = (current.number, ROLLED_BACK, seen.held.at.replace(microsecond=0))
    return any((entry.revision, entry.reason, entry.started_at) == back for entry in history)


def _told(pods: list[PodFacts], one_is: str, more_are: str, seen: Seen, wanted: Wanted) -> str:
    count = f"1 pod{_values(pods, seen, wanted)} {one_is}"
    if len(pods) > 1:
        count = f"{len(pods)} pods{_values(pods, seen, wanted)} {more_are}"
    names = ", ".join(one.name for one in pods[:_NAMED])
    more = f" and {len(pods) - _NAMED} more" if len(pods) > _NAMED else ""
    return f"{count}: {names}{more}"


def _values(pods: Iterable[PodFacts], seen: Seen, wanted: Wanted) -> str:
    numbers = {pod_revision(one, seen, wanted) for one in pods}
    known = sorted(one for one in numbers if one is not None)
    if len(known) < len(numbers):
        return " with earlier values"
    listed = " and ".join(str(one) for one in known)
    return f" with revision {listed}" if len(known) == 1 else f" with revisions {listed}"
