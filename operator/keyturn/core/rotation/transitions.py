"""Transitions of the state that generate no values: what a step records before it is executed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from keyturn.core.state.state import Held

from . import steps

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.observation.observed import Observed
    from keyturn.core.state.state import State

__all__ = ["gone_back", "publication_of", "refreshed", "with_decision"]


def with_decision(
    step: steps.GoBack | steps.Overlap | steps.Expire | steps.Decline,
    observed: Observed,
    state: State,
    now: datetime,
) -> State:
    """Return the state with the decision of a step."""
    facts = state.current.facts
    match step:
        case steps.Overlap(until=until):
            return state.with_current_facts(replace(facts, valid_until=until))
        case steps.Expire():
            return state.with_current_facts(replace(facts, ended=True))
        case steps.GoBack():
            return gone_back(step, observed, state, now)
        case steps.Decline():
            handled = state.triggers.with_handled(observed.requested)
            # A rolled back revision is superseded by the content of the stores, as by any rotation.
            return replace(state, triggers=replace(handled, rollback=state.triggers.rollback), held=None)
        case _:
            assert_never(step)


def refreshed(state: State, observed: Observed, now: datetime) -> State:
    triggers = state.triggers.with_refreshed(observed.requested)
    return replace(state, triggers=triggers, refreshed=observed.read_for(now))


def publication_of(observed: Observed) -> datetime | None:
    """Return when the current revision was published; if the Secret has no time, when it was generated."""
    if observed.current is None:
        return None
    if observed.is_published and observed.target:
        return observed.target.published or observed.current.made
    was_there = (
        observed.managed.status.revision is not None
        if observed.target is None
        else observed.target.revision is None
    )
    return observed.current.made if was_there else None


def gone_back(step: steps.GoBack, observed: Observed, state: State, now: datetime) -> State:
    """Return the state with an earlier revision as current, and rotations paused if it is another one."""
    triggers = replace(state.triggers, rollback=observed.requested.rollback or state.triggers.rollback)
    if step.number == step.given_up:
        return replace(state, triggers=triggers)
    return replace(
        state.with_published(publication_of(observed)),
        triggers=triggers,
        current_number=step.number,
        held=Held(step.given_up, observed.managed.metadata.generation, now, step.failed),
    )
