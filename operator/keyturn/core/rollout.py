"""How far each workload is with the newest revision, and which are restarted now."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.api.managedsecret import Restart
from keyturn.api.status import WorkloadState

from .renewal import CREATED
from .workload import read_marker, write_marker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from .keys import WorkloadKey
    from .seen import Consumer, Seen
    from .state import RevisionFacts
    from .wanted import Wanted
    from .workload import Workload

__all__ = [
    "Standing",
    "Turn",
    "marker_for",
    "next_restarts",
    "restart_due",
    "runs_older_revision",
    "standings",
]


class Turn(enum.Enum):
    """What keeps a workload from running the newest revision."""

    DONE = enum.auto()
    """Nothing: it runs it."""
    NEXT = enum.auto()
    """Only its turn and the debounce."""
    HINDERED = enum.auto()
    """Something that is expected to pass."""
    REFUSED = enum.auto()
    """Somebody decided that it is not restarted."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one workload is."""

    consumer: Consumer
    state: WorkloadState
    turn: Turn
    message: str | None = None

    @property
    def under_way(self) -> bool:
        """Whether a rotation has to wait for it."""
        return self.turn in (Turn.NEXT, Turn.HINDERED)

    @property
    def takes_a_slot(self) -> bool:
        """Whether others wait for its rollout: not for one that does not end before a person acts."""
        return self.state is WorkloadState.ROLLING and self.consumer.workload.hint is None


def standings(seen: Seen, wanted: Wanted) -> tuple[Standing, ...]:
    """Say how far each consumer is, in the order in which they are restarted."""
    return tuple(_standing(one, seen, wanted) for one in sorted(seen.consumers, key=_turn(wanted)))


def next_restarts(seen: Seen, wanted: Wanted, all_standings: Iterable[Standing]) -> tuple[Consumer, ...]:
    """Return the consumers to restart now: those whose debounce is over, as many as may roll at a time."""
    everyone = tuple(all_standings)
    if any(one.state is WorkloadState.FAILED for one in everyone):
        return ()  # the revision may be what broke it: nobody else is sent after it
    rolling = sum(one.takes_a_slot for one in everyone)
    ready = (
        one.consumer
        for one in everyone
        if one.turn is Turn.NEXT and seen.now >= restart_due(seen, wanted, one)
    )
    return tuple(ready)[: max(0, wanted.max_concurrent - rolling)]


def restart_due(seen: Seen, wanted: Wanted, standing: Standing) -> datetime:
    """Return when the debounce ends that started with the last change of what the workload consumes."""
    consumer = standing.consumer
    published = [_published(seen)]
    marked = read_marker(consumer.workload.marker)
    published += (
        sibling.published
        for sibling in consumer.siblings
        if sibling.published and marked.get(sibling.secret) != sibling.revision
    )
    return max(published) + wanted.debounce


def marker_for(consumer: Consumer, secret: str, revision: int) -> str:
    """Return the marker of a restart now: what the new pods will read, of every managed Secret they use."""
    marked = read_marker(consumer.workload.marker)
    used = {use.secret for use in consumer.workload.uses}
    still_used = {name: number for name, number in marked.items() if name in used}
    siblings = {sibling.secret: sibling.revision for sibling in consumer.siblings}
    return write_marker(still_used | siblings | {secret: revision})


def runs_older_revision(workload: Workload, consumer: Consumer, seen: Seen, wanted: Wanted) -> bool:
    """Say whether its pod template, by marker and age, is older than a change of what it consumes."""
    if seen.state is None:
        return False
    revisions = seen.state.revisions
    marked = read_marker(workload.marker).get(wanted.secret)
    if marked is None:
        missed = _published_since(workload.created, seen, revisions)
    elif all(one.number != marked for one in revisions):
        return True  # older than what is kept, or from another life of this Secret
    else:
        missed = tuple(one for one in revisions if one.number > marked)
    return any(_concerns(one, consumer) for one in missed)


def _published_since(
    created: datetime, seen: Seen, revisions: tuple[RevisionFacts, ...]
) -> tuple[RevisionFacts, ...]:
    # One that was never published is in the next: that counts its changes as its own.
    times = (_published(seen), *(one.published for one in revisions[1:]))
    return tuple(
        one
        for one, time in zip(revisions, times, strict=True)
        if one.reason != CREATED and time and created <= time
    )


def _concerns(revision: RevisionFacts, consumer: Consumer) -> bool:
    if consumer.use is None or consumer.use.keys is None:
        return bool(revision.changed)
    return bool(revision.changed & consumer.use.keys)


def _standing(consumer: Consumer, seen: Seen, wanted: Wanted) -> Standing:
    workload = consumer.workload
    newest = seen.newest
    marked = read_marker(workload.marker).get(wanted.secret)
    if newest is not None and marked == newest.number:
        return _after_restart(consumer)
    if consumer.renewed or not runs_older_revision(workload, consumer, seen, wanted):
        return Standing(consumer, WorkloadState.CURRENT, Turn.DONE)
    if refusal := _refusal(consumer, wanted):
        return Standing(consumer, WorkloadState.PENDING, Turn.REFUSED, refusal)
    if hindrance := _hindrance(workload):
        return Standing(consumer, WorkloadState.PENDING, Turn.HINDERED, hindrance)
    return Standing(consumer, WorkloadState.PENDING, Turn.NEXT, "waits for its turn")


def _after_restart(consumer: Consumer) -> Standing:
    workload = consumer.workload
    if workload.failed:
        return Standing(
            consumer,
            WorkloadState.FAILED,
            Turn.HINDERED,
            "its pods did not become available within progressDeadlineSeconds; see its events",
        )
    if workload.settled:
        return Standing(consumer, WorkloadState.CURRENT, Turn.DONE)
    return Standing(consumer, WorkloadState.ROLLING, Turn.HINDERED, workload.hint)


def _refusal(consumer: Consumer, wanted: Wanted) -> str | None:
    workload = consumer.workload
    listed = workload.key in wanted.targets
    if workload.restart == "never":
        return "refuses restarts by keyturn.dev/restart: never; restart it yourself"
    if wanted.restart is Restart.NONE:
        return "rollout.restart is None; restart it yourself"
    if wanted.restart is Restart.LISTED and not listed:
        return "is not among rollout.targets; restart it yourself"
    if consumer.use is None and workload.restart != "allow":
        return "does not consume the Secret; annotate it with keyturn.dev/restart: allow to have it restarted"
    return None


def _hindrance(workload: Workload) -> str | None:
    if workload.paused:
        return "waits: the Deployment is paused"
    if not workload.settled:
        return "waits for its last rollout to finish"
    return None


def _published(seen: Seen) -> datetime:
    stamp = seen.target.published if seen.target else None
    return stamp or (seen.newest.made if seen.newest else seen.now)


def _turn(wanted: Wanted) -> Callable[[Consumer], tuple[int, WorkloadKey]]:
    places = {key: place for place, key in enumerate(wanted.targets)}
    return lambda consumer: (places.get(consumer.workload.key, len(places)), consumer.workload.key)
