"""What is written into stores, from what is recorded of it and what the spec says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keyturn.core.errors import Stalled
from keyturn.core.spec.store_refs import Destination
from keyturn.core.state.state import Pushed

from .leases import are_kept_for, last_return
from .steps import Finalize, GiveBack, Intend, Push, Withdraw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.core.errors import Wait
    from keyturn.core.observation.observed import Observed
    from keyturn.core.observation.store_reads import PushProblem
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import State, StateFacts

__all__ = [
    "Unpushed",
    "binder_of",
    "last_pushes",
    "next_push",
    "push_problem",
    "pushed_again",
    "unpushed",
]

PushStep = Finalize | Intend | Push | Withdraw | GiveBack


@dataclass(frozen=True, slots=True)
class Unpushed:
    """A place of a store that may hold values of an earlier revision still."""

    place: str
    """Which key of which store, in words."""
    message: str
    """What of it is open, and what helps."""
    needs_a_person: bool = False


def next_push(seen: Observed, wanted: Desired) -> PushStep | None:
    """Choose what is done next about stores; what has failed lets the others go first until its time comes."""
    if seen.state is None:
        return None
    if _is_kept_for(seen, wanted, seen.state) and not seen.is_finalized:
        return Finalize(present=True)
    return next(_steps(seen, seen.state, wanted), None) or _unfinalized(seen, wanted, seen.state)


def last_pushes(seen: Observed) -> PushStep | None:
    """Choose what is still to be done for a ManagedSecret that somebody deletes."""
    if not seen.is_finalized:
        return None
    records = seen.state.pushed if seen.state else ()
    left = [one for one in records if one.deletes]
    retained = {one.id for one in seen.wanted.pushes if not one.deletes} if seen.wanted else frozenset()
    if stays := [one for one in left if one.kept or one.place in retained]:
        return Intend(replace(stays[0], deletes=False))
    ready = [one for one in left if not _waits(one.place, seen)]
    if ready:
        return Withdraw(Destination.at(ready[0].place), deletes=True)
    if are_kept_for(seen, seen.wanted):
        return last_return(seen)
    return None if left else Finalize(present=False)


def binder_of(seen: Observed, wanted: Desired, record: State | StateFacts) -> str:
    """Name whom the state Secret is deleted with, by its UID; empty for nobody.

    As long as it says what is to be undone outside it outlives its ManagedSecret: who deletes that in the foreground
    has Kubernetes delete all that belongs to it first.
    """
    is_needed = seen.is_finalized and bool(record.loans or any(one.deletes for one in record.pushed))
    return seen.uid if wanted.shape.deletes and not is_needed else ""


def push_problem(seen: Observed) -> Wait | Stalled | None:
    """Return what keeps the first of the pushes from being done."""
    return next((problem.error for problem in _problems(seen)), None)


def pushed_again(seen: Observed) -> datetime | None:
    """Return when the next of those pushes is tried that were not done."""
    return min((problem.again for problem in _problems(seen) if problem.again > seen.now), default=None)


def unpushed(seen: Observed, wanted: Desired) -> tuple[Unpushed, ...]:
    """Return the places of stores that do not hold the values that are generated now."""
    records = {one.place: one for one in (seen.state.pushed if seen.state else ())}
    places = {one.id for one in wanted.pushes}
    pushes = (_unpushed(one, records.get(one.id), seen) for one in wanted.pushes if _turns(one, wanted))
    gone = (one for one in records.values() if one.place not in places and one.deletes and not one.kept)
    left = (_unfinished(Destination.at(one.place), "is to be deleted there", seen) for one in gone)
    return (*(one for one in pushes if one), *left)


def _turns(destination: Destination, wanted: Desired) -> bool:
    """Say whether something goes there that is another value after a rotation."""
    fixed = {key for item in wanted.items if not item.recipe for key in item.keys.values()}
    return destination.secret_key is None or destination.secret_key not in fixed


def _unpushed(destination: Destination, record: Pushed | None, seen: Observed) -> Unpushed | None:
    number = seen.current.number if seen.current else None
    if record is None or not record.done or record.number != number:
        return _unfinished(destination, "has the values before", seen)
    if not record.kept:
        return None
    keeps = (
        f"{destination} keeps what it had, by updatePolicy: IfNotExists;"
        " write Replace, or take it out of pushTo once it holds nothing exposed"
    )
    return Unpushed(str(destination), keeps, needs_a_person=True)


def _unfinished(destination: Destination, what: str, seen: Observed) -> Unpushed:
    problem = seen.push_problems.get(destination.id)
    detail = f": {problem.error.message}" if problem else ""
    stuck = problem is not None and isinstance(problem.error, Stalled)
    return Unpushed(str(destination), f"{destination} {what}{detail}", needs_a_person=stuck)


def _problems(seen: Observed) -> list[PushProblem]:
    """Return what concerns a place that something is still to be done about."""
    records = seen.state.pushed if seen.state else ()
    if seen.managed.metadata.deletion_timestamp:
        places = {one.place for one in records if one.deletes}
    else:
        pushes = seen.wanted.pushes if seen.wanted else ()
        places = {one.place for one in records} | {one.id for one in pushes}
    return [problem for place, problem in sorted(seen.push_problems.items()) if place in places]


def _steps(seen: Observed, state: StateFacts, wanted: Desired) -> Iterator[PushStep]:
    places = {destination.id: destination for destination in wanted.pushes}
    for record in state.pushed:
        if record.place not in places:
            yield from _withdrawal(record, seen)
    for place, destination in places.items():
        found = state.pushed_to(place)
        record = _record(destination, found, state.current_number)
        if record != found:
            yield Intend(record)
        elif not record.done and not _waits(place, seen):
            yield Push(destination, state.current_number)


def _withdrawal(record: Pushed, seen: Observed) -> Iterator[PushStep]:
    deletes = record.deletes and not record.kept  # what the store had already is not ours to delete
    if deletes and record.done:
        # From here on nobody knows whether it is there, should the spec ask for it once more.
        yield Intend(replace(record, done=False))
    elif not deletes or not _waits(record.place, seen):
        yield Withdraw(Destination.at(record.place), deletes)


def _record(destination: Destination, found: Pushed | None, number: int) -> Pushed:
    """Say what is to be there, and of what is there already that it is."""
    record = Pushed(destination.id, destination.text, number, done=False, deletes=destination.deletes)
    if found is None or found.text != record.text:
        return record
    return replace(record, done=found.done and found.number == number, kept=found.kept)


def _is_kept_for(seen: Observed, wanted: Desired, state: StateFacts) -> bool:
    """Say whether something is pushed, or about to be, or lent, that goes with the ManagedSecret."""
    recorded = {one.place for one in state.pushed if one.deletes}
    return any(one.deletes or one.id in recorded for one in wanted.pushes) or are_kept_for(seen, wanted)


def _unfinalized(seen: Observed, wanted: Desired, state: StateFacts) -> Finalize | None:
    is_needed = any(one.deletes for one in state.pushed) or are_kept_for(seen, wanted)
    if seen.is_finalized and not is_needed:
        return Finalize(present=False)
    return None


def _waits(place: str, seen: Observed) -> bool:
    problem = seen.push_problems.get(place)
    return problem is not None and problem.again > seen.now
