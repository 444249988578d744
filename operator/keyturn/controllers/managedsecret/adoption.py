"""State transitions that generate no value: claim and adopt."""

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
from keyturn.runtime import threadpools

from .existing_data import adopted_values, found_values
from .observe import load_state, load_target

if TYPE_CHECKING:
    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation import steps
    from keyturn.core.spec.desired import Desired
    from keyturn.kube.client import Body

__all__ = ["adopted", "claimed"]


async def claimed(
    step: steps.Claim, key: ObjectKey, observed: Observed, desired: Desired, context: Context
) -> State:
    """Return a state with the values of an existing Secret. Triggers of a new object are recorded as handled."""
    state = await load_state(key, context)
    if state is not None:
        handled = state.triggers.with_handled(observed.requested).with_refreshed(observed.requested)
        # The generation at which rotation was held belongs to the previous object.
        held = state.held and replace(state.held, generation=0)
        # If the Secret is gone too, the state alone records that it was published.
        known = state if observed.target else state.with_published(state.current.facts.made)
        return replace(known, uid=observed.uid, triggers=handled, held=held)
    body = await load_target(key, desired.secret, context)
    kept = await threadpools.for_tenant(key.namespace, found_values, desired, values_of(body) if body else {})
    keys = frozenset(key for one in kept.values() for key in one.keys.values())
    # The state had recorded which workloads run which revision; a revision after the first may concern them all.
    changed = keys if step.number > 1 else frozenset[str]()
    facts = RevisionFacts(step.number, CLAIMED, context.now(), changed)
    handled = Triggers.at_first(observed.requested)
    return State(
        observed.uid,
        _last_rotation(observed, body),
        handled,
        (Revision(facts, kept),),
        step.number,
        used=next_number(observed) - 1,  # the state is lost, but no number is used twice
    )


async def adopted(
    step: steps.Adopt,
    key: ObjectKey,
    observed: Observed,
    desired: Desired,
    state: State | None,
    context: Context,
) -> State:
    """Return a state with the found values as a revision; workloads that read the Secret already run it."""
    body = await load_target(key, desired.secret, context)
    found = await threadpools.for_tenant(
        key.namespace, adopted_values, desired, values_of(body) if body else {}
    )
    # A key that is missing here is no reason to generate a new value.
    kept = {name: one for name, one in state.current.values.items() if name in desired.names} if state else {}
    kept |= found
    base = state.current_number if state else None
    facts = RevisionFacts(step.number, CLAIMED, context.now(), frozenset(), base=base, fallback=step.number)
    revision = Revision(facts, kept)
    if state is None:
        handled = Triggers.at_first(observed.requested)
        # The age of the values counts from now; otherwise they would be rotated at once.
        return State(observed.uid, facts.made, handled, (revision,), step.number)
    return state.with_published(publication_of(observed)).with_revision(revision, desired.history_limit)


def _last_rotation(observed: Observed, body: Body | None) -> datetime:
    """Return the time of the last rotation by the status, limited to the past."""
    created = datetime.fromisoformat(body["metadata"]["creationTimestamp"]) if body else observed.now
    return min(observed.managed.status.last_rotation_time or created, observed.now)
