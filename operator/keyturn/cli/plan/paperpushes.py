"""What the steps that concern stores do to a world that exists on paper only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from keyturn.core.observation.observed import FINALIZER
from keyturn.core.rotation.steps import Borrow, Finalize, GiveBack, Intend, Push, Refresh, Withdraw

if TYPE_CHECKING:
    from keyturn.core.observation.observed import Seen
    from keyturn.core.rotation.steps import OutsideStep
    from keyturn.core.state.state import StateFacts

__all__ = ["pushed"]


def pushed(step: OutsideStep, seen: Seen) -> Seen:
    """Take such a step, on paper."""
    if isinstance(step, Finalize):
        finalizers = [FINALIZER] if step.present else []
        metadata = seen.managed.metadata.model_copy(update={"finalizers": finalizers})
        return replace(seen, managed=seen.managed.model_copy(update={"metadata": metadata}))
    return replace(seen, state=_recorded(step, seen, seen.state)) if seen.state else seen


def _recorded(  # a line for each step there is
    step: Refresh | Intend | Push | Withdraw | Borrow | GiveBack, seen: Seen, state: StateFacts
) -> StateFacts:
    match step:
        case Refresh():
            return replace(state, triggers=state.triggers.with_refreshed(seen.requested))
        case Intend(record=record):
            others = tuple(one for one in state.pushed if one.place != record.place)
            return replace(state, pushed=(*others, record))
        case Push(destination=destination):
            done = [replace(one, done=True) if one.place == destination.id else one for one in state.pushed]
            return replace(state, pushed=tuple(done))
        case Withdraw(destination=destination):
            return replace(state, pushed=tuple(one for one in state.pushed if one.place != destination.id))
        case Borrow(loans=loans):
            return replace(state, loans=(*state.loans, *loans))
        case GiveBack(loan=loan):
            return replace(state, loans=tuple(one for one in state.loans if one != loan))
        case _:
            assert_never(step)
