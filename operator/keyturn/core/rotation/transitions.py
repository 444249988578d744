"""How a decision is recorded, before anything is done about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from keyturn.controllers.managedsecret.adoption import gone_back

from .steps import Decline, Expire, GoBack, Overlap

if TYPE_CHECKING:
    from keyturn.controllers.context import World
    from keyturn.core.observation.observed import Seen
    from keyturn.core.state.state import State

__all__ = ["refreshed", "with_decision"]


def with_decision(step: GoBack | Overlap | Expire | Decline, seen: Seen, state: State, world: World) -> State:
    """Record what was decided, before anything is done about it."""
    facts = state.current.facts
    match step:
        case Overlap(until=until):
            return state.with_current_facts(replace(facts, valid_until=until))
        case Expire():
            return state.with_current_facts(replace(facts, ended=True))
        case GoBack():
            return gone_back(step, seen, state, world)
        case Decline():
            handled = state.triggers.with_handled(seen.requested)
            # An earlier revision that came back is given up for what the stores hold, as by any rotation.
            return replace(state, triggers=replace(handled, rollback=state.triggers.rollback), held=None)
        case _:
            assert_never(step)


def refreshed(state: State, seen: Seen, world: World) -> State:
    triggers = state.triggers.with_refreshed(seen.requested)
    return replace(state, triggers=triggers, refreshed=seen.read_for(world.now()))
