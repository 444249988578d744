"""What the state becomes where no value is made: claimed, adopted, or gone back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from keyturn.core.rotation.decision import next_number
from keyturn.core.rotation.reasons import CLAIMED
from keyturn.core.rotation.transitions import publication_of
from keyturn.core.state.revision import Revision, RevisionFacts
from keyturn.core.state.state import State, Triggers
from keyturn.kube.target_secret import values_of
from keyturn.runtime import threadpools as threads

from .existing_data import adopted_values, found_values
from .observe import load_state, load_target

if TYPE_CHECKING:
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation.steps import Adopt, Claim
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.client import Body

__all__ = ["adopted", "claimed"]


async def claimed(
    step: Claim, key: ObjectKey, observed: Observed, desired: Desired, context: Context
) -> State:
    """Go on with the values that are there: triggers present when the object is made are only recorded."""
    state = await load_state(key, context)
    if state is not None:
        handled = state.triggers.with_handled(observed.requested).with_refreshed(observed.requested)
        # Whoever makes it again has decided: no generation of the new object is the one that was held.
        held = state.held and replace(state.held, generation=0)
        # Where the Secret is gone as well, nobody else remembers that it was published.
        known = state if observed.target else state.with_published(state.current.facts.made)
        return replace(known, uid=observed.uid, triggers=handled, held=held)
    body = await load_target(key, desired.secret, context)
    kept = await threads.for_tenant(key.namespace, found_values, desired, values_of(body) if body else {})
    keys = frozenset(key for one in kept.values() for key in one.keys.values())
    # Whom the last revision has reached was lost with the state: a later one than the first concerns everybody.
    changed = keys if step.number > 1 else frozenset[str]()
    facts = RevisionFacts(step.number, CLAIMED, context.now(), changed)
    handled = Triggers.at_first(observed.requested)
    return State(
        observed.uid,
        _last_rotation(observed, body),
        handled,
        (Revision(facts, kept),),
        step.number,
        used=next_number(observed) - 1,  # the record is lost, but no number must come twice
    )


async def adopted(
    step: Adopt, key: ObjectKey, observed: Observed, desired: Desired, state: State | None, context: Context
) -> State:
    """Record what is found as a revision of its own; who reads it runs with it already."""
    body = await load_target(key, desired.secret, context)
    found = await threads.for_tenant(key.namespace, adopted_values, desired, values_of(body) if body else {})
    # What it does not hold is no reason to make a value anew.
    kept = {name: one for name, one in state.current.values.items() if name in desired.names} if state else {}
    kept |= found
    base = state.current_number if state else None
    facts = RevisionFacts(step.number, CLAIMED, context.now(), frozenset(), base=base, fallback=step.number)
    revision = Revision(facts, kept)
    if state is None:
        handled = Triggers.at_first(observed.requested)
        # Its values count from now: to replace them at once, since they are old, would be no adoption.
        return State(observed.uid, facts.made, handled, (revision,), step.number)
    return state.with_published(publication_of(observed)).with_revision(revision, desired.history_limit)


def _last_rotation(observed: Observed, body: Body | None) -> datetime:
    """Believe the status as far as it cannot put a rotation off: it was never rotated in the future."""
    created = datetime.fromisoformat(body["metadata"]["creationTimestamp"]) if body else observed.now
    return min(observed.managed.status.last_rotation_time or created, observed.now)
