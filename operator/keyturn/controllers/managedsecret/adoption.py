"""State transitions that generate no value: claim and adopt."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from keyturn.core.rotation import transitions
from keyturn.core.state.revision import Revision
from keyturn.core.state.state import State
from keyturn.kube.target_secret import values_of
from keyturn.runtime import threadpools

from .existing_data import adopted_values, found_login, found_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.rotation import steps
    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.revision import ItemValues

    from .secret_reads import SecretReads

__all__ = ["adopt", "claim"]


async def claim(
    step: steps.Claim,
    key: ObjectKey,
    observed: Observed,
    desired: Desired,
    secrets: SecretReads,
    context: Context,
) -> State:
    """Return a state with the values of an existing Secret. Triggers of a new object are recorded as handled."""
    state = await secrets.state(key)
    if state is not None:
        return state.with_facts(transitions.take_over(state.facts, observed))
    body = await secrets.target(key, desired.secret)
    found = await threadpools.for_tenant(
        key.namespace, found_values, desired, values_of(body) if body else {}
    )
    created = datetime.fromisoformat(body["metadata"]["creationTimestamp"]) if body else observed.now
    facts = transitions.claim(step, observed, _content_of(found, desired), created, context.now())
    return State.newer(facts, Revision(found), None)


async def adopt(
    step: steps.Adopt,
    key: ObjectKey,
    observed: Observed,
    desired: Desired,
    state: State | None,
    secrets: SecretReads,
    context: Context,
) -> State:
    """Return a state with the found values as a revision; workloads that read the Secret already run it."""
    body = await secrets.target(key, desired.secret)
    found = await threadpools.for_tenant(
        key.namespace, adopted_values, desired, values_of(body) if body else {}
    )
    # A key that is missing here is no reason to generate a new value.
    kept = {name: one for name, one in state.current.values.items() if name in desired.names} if state else {}
    kept |= found
    before = state.facts if state else None
    facts = transitions.adopt(step, before, observed, desired, _content_of(kept, desired), context.now())
    return State.newer(facts, Revision(kept), state)


def _content_of(values: Mapping[str, ItemValues], desired: Desired) -> transitions.Content:
    keys = {name: kept.keys for name, kept in values.items()}
    login = found_login(desired, values)
    return transitions.Content(keys, {}, changed=frozenset(), previous=frozenset(), login=login)
