"""Which rules of its class and of the checklist a managed secret breaks, as far as one look at it can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import structlog

from keyturn.api.recipe import Recipe
from keyturn.checklist.strength_estimate import is_weak
from keyturn.checklist.unscheduled import unscheduled
from keyturn.core.errors import Stalled
from keyturn.core.policy.checklist import GRACE, NO_SIGNS, Signs, told_twins
from keyturn.core.policy.rules import Evidence, violations_of
from keyturn.core.rotation.triggers import is_overdue
from keyturn.core.spec.items import VALUE
from keyturn.core.state.revision import LITERAL
from keyturn.generators import generator_for
from keyturn.runtime import threadpools as threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.controllers.context import Context
    from keyturn.core.keys import ObjectKey
    from keyturn.core.observation.observed import Observed
    from keyturn.core.policy.rules import Violation
    from keyturn.core.policy.strength import Strength
    from keyturn.core.spec.desired import Desired
    from keyturn.core.spec.items import Item
    from keyturn.core.state.revision import ItemValues
    from keyturn.core.state.state import State
    from keyturn.core.value import Value

__all__ = ["note_values", "signs", "unchecked", "violations"]

_PRODUCTION = "production"
_FEW = 20
"""So many values are judged at once; more take a thread, and the others their turn meanwhile."""
_SHORT = 16 * 1024
"""Bytes of values that are judged at once."""

_log = structlog.get_logger()


async def note_values(key: ObjectKey, desired: Desired, state: State | None, context: Context) -> None:
    """Remember what the rules ask about the values that were just read, and tell those whose values are equal."""
    memory = context.memory(key)
    if state is None:
        memory.weak = memory.older = memory.lengths = None
    else:
        takes_long = _takes_long(desired, state)
        judged = (
            await threads.for_tenant(key.namespace, _judged, desired, state)
            if takes_long
            else _judged(desired, state)
        )
        memory.weak, memory.older, memory.lengths = judged
    if state and memory.first is None:
        memory.first = state.current_number
    is_compared = state and context.cache.environment(key.namespace)
    for other in context.tags.put(key, _secret_values(desired, state) if state and is_compared else ()):
        context.wake(other)


def _takes_long(desired: Desired, state: State) -> bool:
    """Say whether there is much to judge, or keys and certificates, which somebody else may have made."""
    values = state.current.values
    there = [(item, values[item.name]) for item in desired.items if item.name in values]
    return (
        len(there) > _FEW
        or any(item.of_class and item.recipe and kept.recipe != item.recipe.text for item, kept in there)
        or sum(len(value.reveal()) for _, kept in there for value in kept.outputs.values()) > _SHORT
    )


_Judged: TypeAlias = "tuple[dict[str, str] | None, dict[str, Strength | None] | None, dict[str, int] | None]"


def _judged(desired: Desired, state: State) -> _Judged:
    """Find what is certainly weak, what is older than its recipe, and how long is what is read."""
    weak = _weak(_given(desired, state))
    return weak or None, dict(_older(desired, state)) or None, dict(_lengths(desired, state)) or None


def violations(key: ObjectKey, observed: Observed, context: Context) -> tuple[Violation, ...]:
    """Hold what is wanted and what is there against the class."""
    for other in context.tags.read(key):
        context.wake(other)
    desired = observed.desired
    if desired is None or observed.secret_class is None:
        return ()
    made = ((item.name, generator_for(item.recipe).strength()) for item in desired.items if item.recipe)
    asks = observed.secret_class.spec.distinct_across_environments
    evidence = Evidence(
        strengths={name: strength for name, strength in made if strength},
        cadence=desired.cadence,
        rotates=desired.rotates,
        older=context.memory(key).older or {},
        pulled=context.memory(key).lengths or {},
        twins=_twins(key, observed, context) if asks else frozenset(),
    )
    return violations_of(observed.secret_class, evidence)


def signs(key: ObjectKey, observed: Observed, broken: tuple[Violation, ...], context: Context) -> Signs:
    """Hold it against the checklist, as far as no rule of its class that is broken says the same."""
    desired, current = observed.desired, observed.current
    if desired is None:
        return NO_SIGNS
    told = {one.rule for one in broken}
    named = frozenset[str]().union(*(one.cured_by for one in broken))
    weak = context.memory(key).weak or {}
    ended = current.valid_until if current and current.overlaps else None
    return Signs(
        weak=frozenset(secret_key for secret_key, item in weak.items() if item not in named),
        shared=_shared_by_production(key, observed, context),
        unscheduled=frozenset() if "maxInterval" in told else unscheduled(desired),
        is_overdue=is_overdue(observed),
        kept_since=ended if ended and observed.now >= ended + GRACE else None,
    )


def unchecked(observed: Observed, context: Context) -> str | None:
    """Say which rule could not be checked, and why."""
    asks = observed.secret_class and observed.secret_class.spec.distinct_across_environments
    if not asks or context.cache.sees_namespaces:
        return None
    return (
        "distinctAcrossEnvironments cannot be checked: the operator serves chosen namespaces and does not see"
        " the labels of others"
    )


def _older(desired: Desired, state: State) -> Iterator[tuple[str, Strength | None]]:
    """Name the values that the class's recipe of today cannot have made, each with how strong it is."""
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept is None or item.recipe is None or not item.of_class or kept.recipe == item.recipe.text:
            continue
        generator = generator_for(item.recipe)
        if generator.strength() and not generator.accepts(kept.outputs):
            yield item.name, _strength_of(kept)


def _given(desired: Desired, state: State) -> dict[str, tuple[str, Value]]:
    """Return by key of the Secret the values that no recipe has made, each with the name of its item."""
    kept = ((item, state.current.values.get(item.name)) for item in desired.items)
    return {
        one.keys[output]: (item.name, value)
        for item, one in kept
        if one and _is_given(item, one)
        for output, value in one.outputs.items()
        if output in one.keys
    }


def _is_given(item: Item, kept: ItemValues) -> bool:
    """Say whether somebody else made a value: one that is adopted counts as made by its recipe until it rotates."""
    if item.recipe is None or kept.recipe in {"", LITERAL}:
        return True
    generator = generator_for(item.recipe)
    return generator.outputs == (VALUE,) and not generator.accepts(kept.outputs)


def _weak(given: Mapping[str, tuple[str, Value]]) -> dict[str, str]:
    """Return the keys whose values are certainly weak, each with the name of its item."""
    return {key: item for key, (item, value) in given.items() if is_weak(key, value)}


def _shared_by_production(key: ObjectKey, observed: Observed, context: Context) -> frozenset[str]:
    """Return the values of production that another environment has, where no class looks for them."""
    asks = observed.secret_class and observed.secret_class.spec.distinct_across_environments
    is_production = context.cache.environment(key.namespace) == _PRODUCTION
    return _twins(key, observed, context) if is_production and not asks else frozenset()


def _lengths(desired: Desired, state: State) -> Iterator[tuple[str, int]]:
    """Say how long the values are that were read one by one; of a whole document nobody knows what is secret."""
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept and item.source and not item.spreads:
            yield item.name, min(len(value.reveal()) for value in kept.outputs.values())


def _strength_of(kept: ItemValues) -> Strength | None:
    if kept.recipe in {"", LITERAL}:
        return None
    try:
        return generator_for(Recipe.model_validate_json(kept.recipe)).strength()
    except (Stalled, ValueError):  # of a version that could make something else
        return None


def _secret_values(desired: Desired, state: State) -> Iterator[tuple[str, Value]]:
    """Name the values that are secret: literals stand in the spec, and what has no strength identifies.

    What is pulled may be secret or not, and counts.
    """
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept and item.source:
            yield from ((item.name, value) for value in kept.outputs.values())
        generator = generator_for(item.recipe) if item.recipe else None
        if kept and generator and generator.strength():
            secret = kept.outputs.keys() - generator.public
            yield from ((item.name, kept.outputs[output]) for output in sorted(secret))


def _twins(key: ObjectKey, observed: Observed, context: Context) -> frozenset[str]:
    """Return the values that another environment has as well.

    Until every object of the start was read, what the last process found goes on to count.
    """
    here = context.cache.environment(key.namespace)
    if here is None:
        return frozenset()
    found = {
        name: frozenset(
            other for other in others if context.cache.environment(other.namespace) not in {None, here}
        )
        for name, others in context.tags.twins(key).items()
    }
    found = {name: others for name, others in found.items() if others}
    _log_news(key, found, context)
    if context.tags.are_complete:
        return frozenset(found)
    context.tags.wait(key)
    if observed.state and observed.state.current_number != context.memory(key).first:
        return frozenset(found)  # it holds other values by now
    return frozenset(found) | told_twins(observed.managed.status)


def _log_news(key: ObjectKey, found: dict[str, frozenset[ObjectKey]], context: Context) -> None:
    """Name the others where only who runs the operator reads: a tenant must not learn of other namespaces."""
    memory = context.memory(key)
    if found != (memory.twins or {}):
        memory.twins = found or None
        for name, others in found.items():
            _log.warning(
                "equal values", secret=str(key), item=name, others=sorted(str(one) for one in others)
            )
