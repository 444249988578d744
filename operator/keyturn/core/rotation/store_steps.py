"""What stores have to do: renewals and revocations of leases of dynamic credentials, pushes and their deletion.

A lease is recorded right after it is acquired, before its value is published. The record stays until the store has
revoked it, or it has expired, so after a crash the next process knows what to renew and revoke.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keyturn.api.status import UnrevokedLeases
from keyturn.api.target import DeletionPolicy
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.labels import LEASES_REVOKED
from keyturn.core.observation.observed import Managed, Observed, WithAccount, once
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.references import Destination, destination_of
from keyturn.core.state.records import StoreLease
from keyturn.core.state.state import Pushed, state_name
from keyturn.core.texts import and_more
from keyturn.core.times import clock, time_of, to_second

from . import steps
from .completion import is_rollout_complete, publication_limit
from .credentials import closes_account, is_publishable, last_closing
from .emergency import revokes_at_once
from .rollout import Turn, is_under_way, progress_of_workloads

_PRESSED_DELAY = timedelta(minutes=5)
_MAX_AHEAD = timedelta(minutes=5)
"""How far the clock of the person who states a time may be ahead."""


def next_leases(observed: Observed) -> steps.Borrow | None:
    """Return the step that records new or renewed leases, before anything else uses them."""
    if observed.state is None or observed.state.uid != observed.uid:
        return None  # the first revision records them, or the state is claimed first
    new = tuple(lease for lease in observed.pulled.leases if lease not in observed.state.leases)
    return steps.Borrow(new) if new else None


def next_lease_revocation(observed: Managed) -> steps.GiveBack | None:
    """Return the next lease to revoke: at once if no revision had its value, else when no workload needs it."""
    idle = observed.idle_leases
    ready = [lease for lease in idle if _may_end_at(lease, observed) <= observed.now]
    tried = [lease for lease in idle if lease in ready or lease.id in observed.revocation_problems]
    stated = [lease for lease in tried if _is_stated(lease, observed)]
    if stated:  # the last to end comes last: the status knows the leases that were refused by its end
        return steps.GiveBack(min(stated, key=lambda lease: lease.ends), is_stated=True)
    return _first(ready, observed)


def refusal_of(lease: StoreLease, observed: Observed) -> str:
    """Return why the store does not revoke a lease; empty if it was not asked, or did not answer yet."""
    problem = observed.revocation_problems.get(lease.id)
    return problem.refusal if problem else ""


@once
def refused_leases(observed: Observed) -> tuple[StoreLease, ...]:
    """Return the leases of earlier credentials that their store does not revoke, the last to end first.

    A restart forgets the answers of the stores, so those that the status counts are refused until they answer again.
    """
    earlier = [lease for lease in observed.idle_leases if lease.is_carried]
    refused = [lease for lease in earlier if refusal_of(lease, observed)]
    reported = observed.managed.status.unrevoked_leases
    if reported and len(refused) < reported.count:
        refused += [
            lease
            for lease in earlier
            if not refusal_of(lease, observed)
            and observed.now < lease.ends
            and to_second(lease.ends) <= reported.valid_until
        ]
    return tuple(sorted(refused, key=lambda lease: lease.ends, reverse=True))


def unrevoked(observed: Observed) -> UnrevokedLeases | None:
    """Return the leases of earlier credentials that their store does not revoke, with the remedy, for the status.

    Those of the status stay while the state is unknown, and until their stores have answered this process.
    """
    refused = refused_leases(observed)
    if observed.state is None or not all(refusal_of(lease, observed) for lease in refused):
        return observed.managed.status.unrevoked_leases
    if not refused:
        return None
    last, others = refused[0], and_more(len(refused) - 1)
    since = to_second(max(_failed_since(lease, observed) or observed.now for lease in refused))
    message = (
        f"the lease of {last.where}{others} could not be revoked, so the earlier credentials are valid until"
        f" {clock(last.ends)} unless you revoke it at the store; if you have, annotate the ManagedSecret with"
        f" {LEASES_REVOKED} and the time, not before {since:%Y-%m-%dT%H:%M:%SZ}"
        f"{_flaw_of_statement(observed, since)}: {refusal_of(last, observed)}"
    )
    return UnrevokedLeases(count=len(refused), valid_until=to_second(last.ends), since=since, message=message)


def _failed_since(lease: StoreLease, observed: Observed) -> datetime | None:
    """Return when the revocation of a lease failed first, as this process saw it or as the status has it.

    The status counts while the last lease to end is the same, and no other one was added.
    """
    problem, reported = observed.revocation_problems.get(lease.id), observed.managed.status.unrevoked_leases
    refused, seen = refused_leases(observed), problem.since if problem else None
    if reported is None or reported.since is None or lease not in refused or (problem and seen is None):
        return seen
    if len(refused) > reported.count or to_second(refused[0].ends) != reported.valid_until:
        return seen
    return min(seen, reported.since) if seen else reported.since


def stated_at(observed: Observed) -> datetime | None:
    """Return when a person has revoked leases at their stores, as an annotation states.

    A time in the future states nothing, because it would concern leases that are refused later.
    """
    stated = time_of(observed.managed.metadata.annotations.get(LEASES_REVOKED))
    return stated if stated and stated <= observed.now + _MAX_AHEAD else None


def _flaw_of_statement(observed: Observed, since: datetime) -> str:
    """Return why the present annotation does not count; empty if there is none, or if it counts."""
    written = observed.managed.metadata.annotations.get(LEASES_REVOKED)
    if written is None:
        return ""
    stated = time_of(written)
    if stated is None:
        return " (its present value is no time with a time zone)"
    if stated_at(observed) is None:
        return " (its present value is in the future)"
    return " (its present value is before that)" if stated < since else ""


def _is_stated(lease: StoreLease, observed: Observed) -> bool:
    """Whether a person states that a lease is revoked, since its revocation has failed."""
    stated = stated_at(observed)
    since = _failed_since(lease, observed) if stated else None
    return bool(stated and since and to_second(since) <= stated)


def are_kept_for(observed: Observed) -> bool:
    """Whether leases are revoked when the ManagedSecret is deleted: only if its Secret is deleted too.

    No class changes that policy, so it counts also if the class is gone or another part of the spec is invalid.
    """
    deletes = observed.managed.spec.target.deletion_policy is DeletionPolicy.DELETE
    return deletes and bool(observed.state and observed.state.leases)


def next_lease_revocation_time(observed: Managed) -> datetime | None:
    """Return when the next revocation is due or retried."""
    times = (max(_may_end_at(lease, observed), _retry_at(lease, observed)) for lease in observed.idle_leases)
    return min((time for time in times if time > observed.now), default=None)


def last_lease_revocation_time(observed: Observed) -> datetime | None:
    """Return when the next revocation is retried for a deleted ManagedSecret."""
    times = (_retry_at(lease, observed) for lease in (observed.state.leases if observed.state else ()))
    return min((time for time in times if time > observed.now), default=None)


def _may_end_at(lease: StoreLease, observed: Managed) -> datetime:
    """Return when no pod needs the lease: all run on its successor, the overlap ends, or it expires."""
    if not lease.is_carried:
        return observed.now
    published = observed.target_published if observed.is_published else None
    if published is None:
        return lease.ends
    pulled = [item.name for item in observed.desired.pulled]
    if revokes_at_once(observed, pulled):
        return observed.now
    if not is_rollout_complete(observed):
        return _limited(lease, observed)
    everyone = progress_of_workloads(observed)
    are_done = bool(everyone) and all(progress.turn is Turn.DONE for progress in everyone)
    if are_done and not observed.desired.has_overlap:
        return observed.now
    return min(published + observed.desired.overlap_of(pulled), lease.ends)


def _limited(lease: StoreLease, observed: Managed) -> datetime:
    """Return the end of a lease whose values pods still hold: its expiry, or the limit of the overlap.

    A workload that is being restarted is waited for in any case.
    """
    limit = publication_limit(observed)
    if limit is None or is_under_way(observed):
        return lease.ends
    return min(limit, lease.ends)


def _first(leases: Iterable[StoreLease], observed: Observed) -> steps.GiveBack | None:
    return next(
        (steps.GiveBack(lease) for lease in leases if _retry_at(lease, observed) <= observed.now), None
    )


def _retry_at(lease: StoreLease, observed: Observed) -> datetime:
    """Return when a failed revocation is retried; a lease that has expired is removed without a request.

    In an emergency a refused one is retried soon, because no event shows that a right was granted at the store.
    """
    problem = observed.revocation_problems.get(lease.id)
    again = problem.again if problem else observed.now
    if problem and problem.refused and observed.has_open_emergency:
        again = min(again, problem.refused + _PRESSED_DELAY)
    return min(again, max(lease.ends, observed.now))


# Pushes, from the records in the state and the spec


@dataclass(frozen=True, slots=True)
class Unpushed:
    """A destination that may still hold values of an earlier revision."""

    place: str
    """Key and store as text."""
    message: str
    """What is missing, and what helps."""
    needs_a_person: bool = False


def next_push(observed: Managed) -> steps.Step | None:
    """Return the next step for stores; a failed push lets others go first until its retry is due."""
    if isinstance(observed, WithAccount) and not is_publishable(observed):
        return None
    is_kept = _is_kept_for(observed)
    if is_kept and not observed.is_finalized:
        return steps.Finalize(present=True)
    if step := next(_steps(observed), None):
        return step
    is_needed = is_kept or any(record.deletes for record in observed.state.pushed)
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
        leases = observed.state.leases if observed.state else ()
        refused = next((lease for lease in leases if refusal_of(lease, observed)), None)
        step = steps.GiveBack(refused) if refused else _first(leases, observed)
        return replace(step, drops_refused=True) if step else None
    if observed.state and closes_account(observed):
        return last_closing(observed, observed.state)
    return None if left else steps.Finalize(present=False)


def _refuse_unread_state(observed: Observed) -> None:
    """Check that what is to be deleted, revoked or closed is known; without a state Secret nothing is."""
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


def push_problem(observed: Observed) -> Wait | Stalled | None:
    """Return the error of the first failed push."""
    return next((problem.error for problem in _problems(observed)), None)


def pushed_again(observed: Observed) -> datetime | None:
    """Return when the next failed push is retried."""
    return min(
        (problem.again for problem in _problems(observed) if problem.again > observed.now), default=None
    )


def unpushed(observed: Managed, names: Collection[str]) -> tuple[Unpushed, ...]:
    """Return the destinations that do not have the current generated values of some items."""
    records = {record.place: record for record in observed.state.pushed}
    places = {push.id for push in observed.desired.pushes}
    pushes = (
        _unpushed_of(push, records.get(push.id), observed)
        for push in observed.desired.pushes
        if _is_changed_by_rotation(push, observed.desired, names)
    )
    gone = (
        record
        for record in records.values()
        if record.place not in places and record.deletes and not record.is_foreign
    )
    left = (_unfinished(Destination.at(record.place), "is to be deleted there", observed) for record in gone)
    return (*(destination for destination in pushes if destination), *left)


def _is_changed_by_rotation(destination: Destination, desired: Desired, names: Collection[str]) -> bool:
    """Whether a rotation of some items changes what is pushed there."""
    fixed = {
        key
        for item in desired.items
        if not item.recipe or (item.is_generated and item.name not in names)
        for key in item.keys.values()
    }
    return destination.secret_key is None or destination.secret_key not in fixed


def _unpushed_of(destination: Destination, record: Pushed | None, observed: Managed) -> Unpushed | None:
    if record is None or not record.has(observed.current.number):
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


def _problems(observed: Observed) -> list[Attempts]:
    """Return the failures of destinations that still need a step."""
    records = observed.state.pushed if observed.state else ()
    if observed.managed.metadata.deletion_timestamp:
        places = {record.place for record in records if record.deletes}
    else:
        pushes = observed.desired.pushes if observed.desired else ()
        places = {record.place for record in records} | {push.id for push in pushes}
    return [problem for place, problem in sorted(observed.push_problems.items()) if place in places]


def _steps(observed: Managed) -> Iterator[steps.Step]:
    places = {destination.id: destination for destination in observed.desired.pushes}
    for record in observed.state.pushed:
        if record.place not in places:
            yield from _withdrawal(record, observed)
    for place, destination in places.items():
        recorded = observed.state.pushed_to(place)
        record = _record(destination, recorded, observed.state.current_number)
        if record != recorded:
            yield steps.Intend(record)
        elif not record.done and not _waits(place, observed):
            yield steps.Push(destination, observed.state.current_number)


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


def _is_kept_for(observed: Managed) -> bool:
    """Whether the deletion of the ManagedSecret has to delete pushes, revoke leases or close logins."""
    recorded = {record.place for record in observed.state.pushed if record.deletes}
    is_pushed = any(push.deletes or push.id in recorded for push in observed.desired.pushes)
    return is_pushed or are_kept_for(observed) or closes_account(observed)


def _waits(place: str, observed: Observed) -> bool:
    problem = observed.push_problems.get(place)
    return problem is not None and problem.again > observed.now
