"""Leases of dynamic credentials: when they are recorded and revoked.

A lease is recorded right after it is acquired, before its value is published. The record stays until the store has
revoked it, or it has expired, so after a crash the next process knows what to renew and revoke.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.api.status import UnrevokedLeases
from keyturn.api.target import DeletionPolicy
from keyturn.core.labels import LEASES_REVOKED
from keyturn.core.observation.observed import Observed, once
from keyturn.core.spec.desired import Desired
from keyturn.core.state.records import StoreLease
from keyturn.core.texts import and_more
from keyturn.core.times import clock, time_of, to_second

from . import steps
from .completion import is_rollout_complete, publication_limit
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


def next_lease_revocation(observed: Observed, desired: Desired) -> steps.GiveBack | None:
    """Return the next lease to revoke: at once if no revision had its value, else when no workload needs it."""
    idle = idle_leases(observed)
    ready = [lease for lease in idle if _may_end_at(lease, observed, desired) <= observed.now]
    tried = [lease for lease in idle if lease in ready or lease.id in observed.revocation_problems]
    stated = [lease for lease in tried if _is_stated(lease, observed)]
    if stated:  # the last to end comes last: the status knows the leases that were refused by its end
        return steps.GiveBack(min(stated, key=lambda lease: lease.ends), is_stated=True)
    return _first(ready, observed)


def idle_leases(observed: Observed) -> tuple[StoreLease, ...]:
    """Return the leases that neither the current revision nor a pending one holds."""
    if observed.state is None or not observed.state.leases:
        return ()
    held = (
        frozenset(observed.state.leases_by_item.values())
        | observed.state.candidate_leases
        | observed.pulled.in_hand
    )
    return tuple(lease for lease in observed.state.leases if lease.id not in held)


def last_lease_revocation(observed: Observed) -> steps.GiveBack | None:
    """Return the next lease to revoke of a deleted ManagedSecret, which does not wait for one that is refused."""
    leases = observed.state.leases if observed.state else ()
    refused = next((lease for lease in leases if refusal_of(lease, observed)), None)
    step = steps.GiveBack(refused) if refused else _first(leases, observed)
    return replace(step, drops_refused=True) if step else None


def refusal_of(lease: StoreLease, observed: Observed) -> str:
    """Return why the store does not revoke a lease; empty if it was not asked, or did not answer yet."""
    problem = observed.revocation_problems.get(lease.id)
    return problem.refusal if problem else ""


@once
def refused_leases(observed: Observed) -> tuple[StoreLease, ...]:
    """Return the leases of earlier credentials that their store does not revoke, the last to end first.

    A restart forgets the answers of the stores, so those that the status counts are refused until they answer again.
    """
    earlier = [lease for lease in idle_leases(observed) if lease.is_carried]
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


def next_lease_revocation_time(observed: Observed, desired: Desired) -> datetime | None:
    """Return when the next revocation is due or retried."""
    times = (
        max(_may_end_at(lease, observed, desired), _retry_at(lease, observed))
        for lease in idle_leases(observed)
    )
    return min((time for time in times if time > observed.now), default=None)


def last_lease_revocation_time(observed: Observed) -> datetime | None:
    """Return when the next revocation is retried for a deleted ManagedSecret."""
    times = (_retry_at(lease, observed) for lease in (observed.state.leases if observed.state else ()))
    return min((time for time in times if time > observed.now), default=None)


def _may_end_at(lease: StoreLease, observed: Observed, desired: Desired) -> datetime:
    """Return when no pod needs the lease: all run on its successor, the overlap ends, or it expires."""
    if not lease.is_carried:
        return observed.now
    published = observed.target_published if observed.is_published else None
    if published is None:
        return lease.ends
    if revokes_at_once(observed):
        return observed.now
    if not is_rollout_complete(observed, desired):
        return _limited(lease, observed, desired)
    everyone = progress_of_workloads(observed)
    if everyone and all(progress.turn is Turn.DONE for progress in everyone) and not desired.has_overlap:
        return observed.now
    return min(published + desired.overlap, lease.ends)


def _limited(lease: StoreLease, observed: Observed, desired: Desired) -> datetime:
    """Return the end of a lease whose values pods still hold: its expiry, or the limit of the overlap.

    A workload that is being restarted is waited for in any case.
    """
    limit = publication_limit(observed, desired)
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
