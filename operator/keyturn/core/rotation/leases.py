"""What stores have lent: what is recorded of it, and when it is given back.

What is lent is recorded as soon as it is taken, before a value of it is published. It stays in the record until its
store has taken it back, or says that it will not, or it has ended: so a process that dies leaves to the next one
what to renew and what to give back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .emergency import revokes_at_once
from .rollout import Turn, standings
from .steps import Borrow, GiveBack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.lease import StoreLease
    from keyturn.core.state.state import StateFacts

__all__ = ["are_kept_for", "last_return", "next_loans", "next_return", "returned_again", "returned_last"]


def next_loans(observed: Observed) -> Borrow | None:
    """Record what was just taken or renewed, before anything is done with it."""
    if observed.state is None:
        return None  # the first revision brings it along
    new = tuple(loan for loan in observed.pulled.loans if loan not in observed.state.loans)
    return Borrow(new) if new else None


def next_return(observed: Observed, desired: Desired) -> GiveBack | None:
    """Choose what is given back: at once what nobody could ever read, else when nobody needs it any more."""
    ready = (loan for loan in _idle(observed) if _may_end_at(loan, observed, desired) <= observed.now)
    return _first(ready, observed)


def last_return(observed: Observed) -> GiveBack | None:
    """Choose what is given back of a ManagedSecret that somebody deletes."""
    return _first(observed.state.loans if observed.state else (), observed)


def are_kept_for(observed: Observed, desired: Desired | None) -> bool:
    """Say whether something is given back when the ManagedSecret goes: only if its Secret goes then as well."""
    return bool(observed.state and observed.state.loans and desired and desired.shape.deletes)


def returned_again(observed: Observed, desired: Desired) -> datetime | None:
    """Return when the next is given back, or tried again."""
    times = (max(_may_end_at(loan, observed, desired), _tried_at(loan, observed)) for loan in _idle(observed))
    return min((time for time in times if time > observed.now), default=None)


def returned_last(observed: Observed) -> datetime | None:
    """Return when that is tried again of a ManagedSecret that somebody deletes."""
    times = (_tried_at(loan, observed) for loan in (observed.state.loans if observed.state else ()))
    return min((time for time in times if time > observed.now), default=None)


def _idle(observed: Observed) -> tuple[StoreLease, ...]:
    """Return what the current revision does not hold, and nobody is about to take in."""
    if observed.state is None:
        return ()
    used = frozenset(observed.state.borrowed.values()) | observed.pulled.in_hand
    return tuple(loan for loan in observed.state.loans if loan.id not in used)


def _may_end_at(loan: StoreLease, observed: Observed, desired: Desired) -> datetime:
    """Say when nobody needs it: all run on what came after it, or the overlap is over; at its end in any case."""
    if not _was_read(loan, observed.state):
        return observed.now
    published = observed.target.published if observed.target and observed.is_published else None
    if published is None:
        return loan.ends
    if revokes_at_once(observed):
        return observed.now
    everyone = standings(observed, desired)
    if any(one.under_way for one in everyone):
        return loan.ends
    if everyone and all(one.turn is Turn.DONE for one in everyone) and not _has_overlap(observed):
        return observed.now
    return min(published + desired.overlap, loan.ends)


def _has_overlap(observed: Observed) -> bool:
    """Say whether somebody has written for how long what was read before works."""
    of_class = observed.secret_class.spec.rotation if observed.secret_class else None
    return any(
        one is not None and one.overlap is not None for one in (observed.managed.spec.rotation, of_class)
    )


def _was_read(loan: StoreLease, state: StateFacts | None) -> bool:
    return state is not None and loan.id in state.lent_before


def _first(loans: Iterable[StoreLease], observed: Observed) -> GiveBack | None:
    return next((GiveBack(loan) for loan in loans if _tried_at(loan, observed) <= observed.now), None)


def _tried_at(loan: StoreLease, observed: Observed) -> datetime:
    """Say when it is tried again, if it failed before; what has ended is given back without asking anybody."""
    return min(observed.returns.get(loan.id, observed.now), max(loan.ends, observed.now))
