"""Pushes to stores: the next push or deletion, from the state's records and the spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from keyturn.core.errors import Stalled, Wait
from keyturn.core.observation.external import PushProblem
from keyturn.core.observation.observed import Observed
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.store_refs import Destination, destination_of
from keyturn.core.state.state import Pushed, StateFacts, state_name

from . import steps
from .credentials import closes_account, is_publishable, last_closing
from .leases import are_kept_for, last_lease_revocation


@dataclass(frozen=True, slots=True)
class Unpushed:
    """A destination that may still hold values of an earlier revision."""

    place: str
    """Key and store as text."""
    message: str
    """What is missing, and what helps."""
    needs_a_person: bool = False


def next_push(observed: Observed, desired: Desired) -> steps.Step | None:
    """Return the next step for stores; a failed push lets others go first until its retry is due."""
    if observed.state is None or not is_publishable(observed, desired):
        return None
    state = observed.state
    is_kept = _is_kept_for(observed, desired, state)
    if is_kept and not observed.is_finalized:
        return steps.Finalize(present=True)
    if step := next(_steps(observed, state, desired), None):
        return step
    is_needed = is_kept or any(record.deletes for record in state.pushed)
    return steps.Finalize(present=False) if observed.is_finalized and not is_needed else None


def last_pushes(observed: Observed) -> steps.Step | None:
    """Return the next step for a deleted ManagedSecret.

    Raises:
        Stalled: The state Secret exists, but could not be read, or the spec has another database account.
    """
    if not observed.is_finalized:
        return None
    _refuse_unread_state(observed)
    records = observed.state.pushed if observed.state else ()
    left = [record for record in records if record.deletes]
    pushes = (destination_of(push) for push in observed.managed.spec.push_to or ())
    retained = {push.id for push in pushes if not push.deletes}
    if stays := [record for record in left if record.is_foreign or record.place in retained]:
        return steps.Intend(replace(stays[0], deletes=False))
    ready = [record for record in left if not _waits(record.place, observed)]
    if ready:
        return steps.Withdraw(Destination.at(ready[0].place), deletes=True)
    if are_kept_for(observed):
        return last_lease_revocation(observed)
    if observed.state and closes_account(observed):
        return last_closing(observed, observed.state)
    return None if left else steps.Finalize(present=False)


def _refuse_unread_state(observed: Observed) -> None:
    """Check that what is to be deleted, revoked or closed is known; without a state Secret nothing is.

    Raises:
        Stalled: The state Secret was not read.
    """
    name = state_name(observed.name)
    if observed.state_is_foreign:
        reason = ErrorReason.SECRET_NOT_OWNED
        what = f"the Secret {name!r} is not the state Secret of this ManagedSecret"
    elif observed.state_problem:
        reason = ErrorReason.STATE_UNREADABLE
        what = f"the state Secret {name!r} was edited or is of a newer version"
    else:
        return
    raise Stalled(
        reason,
        f"{what}, so it is unknown which pushed keys, leases and database logins the deletion ends; restore it,"
        " or delete it to let the ManagedSecret go and leave all of them",
    )


def binder_of(observed: Observed, desired: Desired, state: StateFacts) -> str:
    """Return the UID of the owner reference of the state Secret; empty for none.

    While the state has pushes to delete, leases to revoke or logins to close it must outlive its ManagedSecret:
    foreground deletion would delete the dependents first.
    """
    closes = desired.database is not None and desired.database.deletes and bool(state.open_credentials)
    is_needed = closes or bool(state.leases) or any(record.deletes for record in state.pushed)
    return observed.uid if desired.target_policy.deletes and not (observed.is_finalized and is_needed) else ""


def push_problem(observed: Observed) -> Wait | Stalled | None:
    """Return the error of the first failed push."""
    return next((problem.error for problem in _problems(observed)), None)


def pushed_again(observed: Observed) -> datetime | None:
    """Return when the next failed push is retried."""
    return min(
        (problem.again for problem in _problems(observed) if problem.again > observed.now), default=None
    )


def unpushed(observed: Observed, desired: Desired) -> tuple[Unpushed, ...]:
    """Return the destinations that do not have the current generated values."""
    records = {record.place: record for record in (observed.state.pushed if observed.state else ())}
    places = {push.id for push in desired.pushes}
    pushes = (
        _unpushed_of(push, records.get(push.id), observed)
        for push in desired.pushes
        if _is_changed_by_rotation(push, desired)
    )
    gone = (
        record
        for record in records.values()
        if record.place not in places and record.deletes and not record.is_foreign
    )
    left = (_unfinished(Destination.at(record.place), "is to be deleted there", observed) for record in gone)
    return (*(destination for destination in pushes if destination), *left)


def _is_changed_by_rotation(destination: Destination, desired: Desired) -> bool:
    """Whether a rotation changes what is pushed there."""
    fixed = {key for item in desired.items if not item.recipe for key in item.keys.values()}
    return destination.secret_key is None or destination.secret_key not in fixed


def _unpushed_of(destination: Destination, record: Pushed | None, observed: Observed) -> Unpushed | None:
    number = observed.current.number if observed.current else None
    if record is None or not record.has(number):
        return _unfinished(destination, "has the previous values", observed)
    if not record.kept:
        return None
    keeps = (
        f"{destination} keeps its previous value because of updatePolicy: IfNotExists;"
        " write Replace, or remove it from pushTo once it has no exposed value"
    )
    return Unpushed(str(destination), keeps, needs_a_person=True)


def _unfinished(destination: Destination, what: str, observed: Observed) -> Unpushed:
    problem = observed.push_problems.get(destination.id)
    detail = f": {problem.error.message}" if problem else ""
    stuck = problem is not None and isinstance(problem.error, Stalled)
    return Unpushed(str(destination), f"{destination} {what}{detail}", needs_a_person=stuck)


def _problems(observed: Observed) -> list[PushProblem]:
    """Return the failures of destinations that still need a step."""
    records = observed.state.pushed if observed.state else ()
    if observed.managed.metadata.deletion_timestamp:
        places = {record.place for record in records if record.deletes}
    else:
        pushes = observed.desired.pushes if observed.desired else ()
        places = {record.place for record in records} | {push.id for push in pushes}
    return [problem for place, problem in sorted(observed.push_problems.items()) if place in places]


def _steps(observed: Observed, state: StateFacts, desired: Desired) -> Iterator[steps.Step]:
    places = {destination.id: destination for destination in desired.pushes}
    for record in state.pushed:
        if record.place not in places:
            yield from _withdrawal(record, observed)
    for place, destination in places.items():
        recorded = state.pushed_to(place)
        record = _record(destination, recorded, state.current_number)
        if record != recorded:
            yield steps.Intend(record)
        elif not record.done and not _waits(place, observed):
            yield steps.Push(destination, state.current_number)


def _withdrawal(record: Pushed, observed: Observed) -> Iterator[steps.Step]:
    deletes = record.deletes and not record.is_foreign
    if deletes and record.done:
        # From here on it is unknown whether the key exists, in case the spec adds the push again.
        yield steps.Intend(replace(record, done=False))
    elif not deletes or not _waits(record.place, observed):
        yield steps.Withdraw(Destination.at(record.place), deletes)


def _record(destination: Destination, found: Pushed | None, number: int) -> Pushed:
    """Return the wanted record of a destination, with what an existing record proves as done."""
    record = Pushed(destination.id, destination.text, number, done=False, deletes=destination.deletes)
    if found is None:
        return record
    if found.text != record.text:
        return replace(record, ours=found.ours)
    return replace(record, done=found.has(number), kept=found.kept, ours=found.ours)


def _is_kept_for(observed: Observed, desired: Desired, state: StateFacts) -> bool:
    """Whether the deletion of the ManagedSecret has to delete pushes, revoke leases or close logins."""
    recorded = {record.place for record in state.pushed if record.deletes}
    is_pushed = any(push.deletes or push.id in recorded for push in desired.pushes)
    return is_pushed or are_kept_for(observed) or closes_account(observed)


def _waits(place: str, observed: Observed) -> bool:
    problem = observed.push_problems.get(place)
    return problem is not None and problem.again > observed.now
