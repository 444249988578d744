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


def next_push(observed: Observed, desired: Desired) -> PushStep | None:
    """Choose what is done next about stores; what has failed lets the others go first until its time comes."""
    if observed.state is None:
        return None
    if _is_kept_for(observed, desired, observed.state) and not observed.is_finalized:
        return Finalize(present=True)
    return next(_steps(observed, observed.state, desired), None) or _unfinalized(
        observed, desired, observed.state
    )


def last_pushes(observed: Observed) -> PushStep | None:
    """Choose what is still to be done for a ManagedSecret that somebody deletes."""
    if not observed.is_finalized:
        return None
    records = observed.state.pushed if observed.state else ()
    left = [one for one in records if one.deletes]
    retained = (
        {one.id for one in observed.desired.pushes if not one.deletes} if observed.desired else frozenset()
    )
    if stays := [one for one in left if one.kept or one.place in retained]:
        return Intend(replace(stays[0], deletes=False))
    ready = [one for one in left if not _waits(one.place, observed)]
    if ready:
        return Withdraw(Destination.at(ready[0].place), deletes=True)
    if are_kept_for(observed, observed.desired):
        return last_return(observed)
    return None if left else Finalize(present=False)


def binder_of(observed: Observed, desired: Desired, record: State | StateFacts) -> str:
    """Name whom the state Secret is deleted with, by its UID; empty for nobody.

    As long as it says what is to be undone outside it outlives its ManagedSecret: who deletes that in the foreground
    has Kubernetes delete all that belongs to it first.
    """
    is_needed = observed.is_finalized and bool(record.loans or any(one.deletes for one in record.pushed))
    return observed.uid if desired.shape.deletes and not is_needed else ""


def push_problem(observed: Observed) -> Wait | Stalled | None:
    """Return what keeps the first of the pushes from being done."""
    return next((problem.error for problem in _problems(observed)), None)


def pushed_again(observed: Observed) -> datetime | None:
    """Return when the next of those pushes is tried that were not done."""
    return min(
        (problem.again for problem in _problems(observed) if problem.again > observed.now), default=None
    )


def unpushed(observed: Observed, desired: Desired) -> tuple[Unpushed, ...]:
    """Return the places of stores that do not hold the values that are generated now."""
    records = {one.place: one for one in (observed.state.pushed if observed.state else ())}
    places = {one.id for one in desired.pushes}
    pushes = (_unpushed(one, records.get(one.id), observed) for one in desired.pushes if _turns(one, desired))
    gone = (one for one in records.values() if one.place not in places and one.deletes and not one.kept)
    left = (_unfinished(Destination.at(one.place), "is to be deleted there", observed) for one in gone)
    return (*(one for one in pushes if one), *left)


def _turns(destination: Destination, desired: Desired) -> bool:
    """Say whether something goes there that is another value after a rotation."""
    fixed = {key for item in desired.items if not item.recipe for key in item.keys.values()}
    return destination.secret_key is None or destination.secret_key not in fixed


def _unpushed(destination: Destination, record: Pushed | None, observed: Observed) -> Unpushed | None:
    number = observed.current.number if observed.current else None
    if record is None or not record.done or record.number != number:
        return _unfinished(destination, "has the values before", observed)
    if not record.kept:
        return None
    keeps = (
        f"{destination} keeps what it had, by updatePolicy: IfNotExists;"
        " write Replace, or take it out of pushTo once it holds nothing exposed"
    )
    return Unpushed(str(destination), keeps, needs_a_person=True)


def _unfinished(destination: Destination, what: str, observed: Observed) -> Unpushed:
    problem = observed.push_problems.get(destination.id)
    detail = f": {problem.error.message}" if problem else ""
    stuck = problem is not None and isinstance(problem.error, Stalled)
    return Unpushed(str(destination), f"{destination} {what}{detail}", needs_a_person=stuck)


def _problems(observed: Observed) -> list[PushProblem]:
    """Return what concerns a place that something is still to be done about."""
    records = observed.state.pushed if observed.state else ()
    if observed.managed.metadata.deletion_timestamp:
        places = {one.place for one in records if one.deletes}
    else:
        pushes = observed.desired.pushes if observed.desired else ()
        places = {one.place for one in records} | {one.id for one in pushes}
    return [problem for place, problem in sorted(observed.push_problems.items()) if place in places]


def _steps(observed: Observed, state: StateFacts, desired: Desired) -> Iterator[PushStep]:
    places = {destination.id: destination for destination in desired.pushes}
    for record in state.pushed:
        if record.place not in places:
            yield from _withdrawal(record, observed)
    for place, destination in places.items():
        found = state.pushed_to(place)
        record = _record(destination, found, state.current_number)
        if record != found:
            yield Intend(record)
        elif not record.done and not _waits(place, observed):
            yield Push(destination, state.current_number)


def _withdrawal(record: Pushed, observed: Observed) -> Iterator[PushStep]:
    deletes = record.deletes and not record.kept  # what the store had already is not ours to delete
    if deletes and record.done:
        # From here on nobody knows whether it is there, should the spec ask for it once more.
        yield Intend(replace(record, done=False))
    elif not deletes or not _waits(record.place, observed):
        yield Withdraw(Destination.at(record.place), deletes)


def _record(destination: Destination, found: Pushed | None, number: int) -> Pushed:
    """Say what is to be there, and of what is there already that it is."""
    record = Pushed(destination.id, destination.text, number, done=False, deletes=destination.deletes)
    if found is None or found.text != record.text:
        return record
    return replace(record, done=found.done and found.number == number, kept=found.kept)


def _is_kept_for(observed: Observed, desired: Desired, state: StateFacts) -> bool:
    """Say whether something is pushed, or about to be, or lent, that goes with the ManagedSecret."""
    recorded = {one.place for one in state.pushed if one.deletes}
    return any(one.deletes or one.id in recorded for one in desired.pushes) or are_kept_for(observed, desired)


def _unfinalized(observed: Observed, desired: Desired, state: StateFacts) -> Finalize | None:
    is_needed = any(one.deletes for one in state.pushed) or are_kept_for(observed, desired)
    if observed.is_finalized and not is_needed:
        return Finalize(present=False)
    return None


def _waits(place: str, observed: Observed) -> bool:
    problem = observed.push_problems.get(place)
    return problem is not None and problem.again > observed.now
