"""What is written into stores, from what is recorded of it and what the spec says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .source import Destination
from .state import Pushed
from .steps import Finalize, Intend, Push, Withdraw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .errors import Stalled, Wait
    from .seen import Seen
    from .state import StateFacts
    from .wanted import Wanted

__all__ = ["last_pushes", "next_push", "push_problem"]

PushStep = Finalize | Intend | Push | Withdraw


def next_push(seen: Seen, wanted: Wanted) -> PushStep | None:
    """Choose what is done next about stores; what has failed lets the others go first until its time comes."""
    if seen.state is None:
        return None
    step = next(_steps(seen, seen.state, wanted), None)
    if isinstance(step, Intend) and step.record.deletes and not seen.is_finalized:
        return Finalize(present=True)
    return step or _unfinalized(seen, seen.state)


def last_pushes(seen: Seen) -> PushStep | None:
    """Choose what is still to be done for a ManagedSecret that somebody deletes."""
    if not seen.is_finalized:
        return None
    records = seen.state.pushed if seen.state else ()
    left = [one for one in records if one.deletes]
    ready = [one for one in left if not _waits(one.place, seen)]
    if ready:
        return Withdraw(Destination.at(ready[0].place), deletes=True)
    return None if left else Finalize(present=False)


def push_problem(seen: Seen) -> Wait | Stalled | None:
    """Return what keeps the first of the pushes from being done."""
    return next((problem.error for _, problem in sorted(seen.push_problems.items())), None)


def _steps(seen: Seen, state: StateFacts, wanted: Wanted) -> Iterator[PushStep]:
    places = {destination.id: destination for destination in wanted.pushes}
    for record in state.pushed:
        if record.place not in places and not _waits(record.place, seen):
            yield Withdraw(Destination.at(record.place), record.deletes)
    for place, destination in places.items():
        intended = Pushed(
            place, destination.text, state.current_number, done=False, deletes=destination.deletes
        )
        found = state.pushed_to(place)
        if found is None or replace(found, done=False, kept=False) != intended:
            # Only what becomes of it later has changed: what is there stays.
            stays = found is not None and (found.text, found.number) == (intended.text, intended.number)
            yield Intend(replace(intended, done=found.done, kept=found.kept) if found and stays else intended)
        elif not found.done and not _waits(place, seen):
            yield Push(destination, state.current_number)


def _unfinalized(seen: Seen, state: StateFacts) -> Finalize | None:
    if seen.is_finalized and not any(one.deletes for one in state.pushed):
        return Finalize(present=False)
    return None


def _waits(place: str, seen: Seen) -> bool:
    problem = seen.push_problems.get(place)
    return problem is not None and problem.again > seen.now
