"""Evaluates class policy and checklist rules for one ManagedSecret."""

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
from keyturn.runtime import threadpools

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
_MAX_INLINE_VALUES = 20
"""Number of values up to which they are evaluated on the event loop, without a thread."""
_MAX_INLINE_BYTES = 16 * 1024
"""Total bytes of values up to which they are evaluated on the event loop."""

_log = structlog.get_logger()


async def note_values(key: ObjectKey, desired: Desired, state: State | None, context: Context) -> None:
    """Record what the rules need of the values that were just read, and wake the objects that have equal ones."""
    memory = context.memory(key)
    if state is None:
        memory.weak = memory.older = memory.lengths = None
    else:
        takes_long = _takes_long(desired, state)
        judged = (
            await threadpools.for_tenant(key.namespace, _evaluate, desired, state)
            if takes_long
            else _evaluate(desired, state)
        )
        memory.weak, memory.older, memory.lengths = judged
    if state and memory.first is None:
        memory.first = state.facts.current_number
    is_compared = state and context.cache.environment(key.namespace)
    for other in context.tags.put(key, _secret_values(desired, state) if state and is_compared else ()):
        context.wake(other)


def _takes_long(desired: Desired, state: State) -> bool:
    """Whether there are many values, or values of a foreign recipe, such as keys and certificates."""
    values = state.current.values
    recorded = [(item, values[item.name]) for item in desired.items if item.name in values]
    return (
        len(recorded) > _MAX_INLINE_VALUES
        or any(item.of_class and item.recipe and kept.recipe != item.recipe.text for item, kept in recorded)
        or sum(len(value.reveal()) for _, kept in recorded for value in kept.outputs.values())
        > _MAX_INLINE_BYTES
    )


_Evaluation: TypeAlias = (
    "tuple[dict[str, str] | None, dict[str, Strength | None] | None, dict[str, int] | None]"
)


def _evaluate(desired: Desired, state: State) -> _Evaluation:
    """Return weak values, values that are older than their recipe, and lengths of values from stores."""
    weak = _weak_values(_without_recipe(desired, state))
    return (
        weak or None,
        dict(_older_than_recipe(desired, state)) or None,
        dict(_lengths(desired, state)) or None,
    )


def violations(key: ObjectKey, observed: Observed, context: Context) -> tuple[Violation, ...]:
    """Return violations of the class policy."""
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
    """Return the checklist findings, except those that a violated rule of the class reports."""
    desired, current = observed.desired, observed.current
    if desired is None:
        return NO_SIGNS
    reported = {violation.rule for violation in broken}
    named = frozenset[str]().union(*(violation.cured_by for violation in broken))
    weak = context.memory(key).weak or {}
    ended = current.valid_until if current and current.overlaps else None
    return Signs(
        weak=frozenset(secret_key for secret_key, item in weak.items() if item not in named),
        shared=_shared_by_production(key, observed, context),
        unscheduled=frozenset() if "maxInterval" in reported else unscheduled(desired),
        is_overdue=is_overdue(observed),
        kept_since=ended if ended and observed.now >= ended + GRACE else None,
    )


def unchecked(observed: Observed, context: Context) -> str | None:
    """Return which rule could not be evaluated, and why."""
    asks = observed.secret_class and observed.secret_class.spec.distinct_across_environments
    if not asks or context.cache.sees_namespaces:
        return None
    return (
        "distinctAcrossEnvironments cannot be checked: the operator watches selected namespaces and cannot read"
        " the labels of others"
    )


def _older_than_recipe(desired: Desired, state: State) -> Iterator[tuple[str, Strength | None]]:
    """Yield items whose value the current recipe of the class cannot have generated, with its strength."""
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept is None or item.recipe is None or not item.of_class or kept.recipe == item.recipe.text:
            continue
        generator = generator_for(item.recipe)
        if generator.strength() and not generator.accepts(kept.outputs):
            yield item.name, _strength_of(kept)


def _without_recipe(desired: Desired, state: State) -> dict[str, tuple[str, Value]]:
    """Return the values that no recipe has generated, by key of the Secret, each with its item."""
    kept = ((item, state.current.values.get(item.name)) for item in desired.items)
    return {
        item_values.keys[output]: (item.name, value)
        for item, item_values in kept
        if item_values and _has_no_recipe(item, item_values)
        for output, value in item_values.outputs.items()
        if output in item_values.keys
    }


def _has_no_recipe(item: Item, kept: ItemValues) -> bool:
    """Whether a value has a foreign origin; an adopted one that its recipe accepts does not count."""
    if item.recipe is None or kept.recipe in {"", LITERAL}:
        return True
    generator = generator_for(item.recipe)
    return generator.outputs == (VALUE,) and not generator.accepts(kept.outputs)


def _weak_values(given: Mapping[str, tuple[str, Value]]) -> dict[str, str]:
    """Return the keys with a weak value, each with its item."""
    return {key: item for key, (item, value) in given.items() if is_weak(key, value)}


def _shared_by_production(key: ObjectKey, observed: Observed, context: Context) -> frozenset[str]:
    """Return values of production that another environment has as well, unless the class checks that itself."""
    asks = observed.secret_class and observed.secret_class.spec.distinct_across_environments
    is_production = context.cache.environment(key.namespace) == _PRODUCTION
    return _twins(key, observed, context) if is_production and not asks else frozenset()


def _lengths(desired: Desired, state: State) -> Iterator[tuple[str, int]]:
    """Yield the lengths of values that were read one by one; which part of a whole document is secret is unknown."""
    for item in desired.items:
        kept = state.current.values.get(item.name)
        if kept and item.source and not item.spreads:
            yield item.name, min(len(value.reveal()) for value in kept.outputs.values())


def _strength_of(kept: ItemValues) -> Strength | None:
    if kept.recipe in {"", LITERAL}:
        return None
    try:
        return generator_for(Recipe.model_validate_json(kept.recipe)).strength()
    except (Stalled, ValueError):  # the recipe is of another version of Keyturn
        return None


def _secret_values(desired: Desired, state: State) -> Iterator[tuple[str, Value]]:
    """Yield the secret values: no literals, and no values without strength, such as identifiers.

    Values from stores may be secret, and count.
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

    Until all objects of the start were read, the findings of the previous process remain.
    """
    here = context.cache.environment(key.namespace)
    if here is None:
        return frozenset()
    matches = {
        name: frozenset(
            other for other in others if context.cache.environment(other.namespace) not in {None, here}
        )
        for name, others in context.tags.twins(key).items()
    }
    matches = {name: others for name, others in matches.items() if others}
    _log_equal_values(key, matches, context)
    if context.tags.are_complete:
        return frozenset(matches)
    context.tags.wait(key)
    if observed.state and observed.state.current_number != context.memory(key).first:
        return frozenset(matches)  # the values have changed since
    return frozenset(matches) | told_twins(observed.managed.status)


def _log_equal_values(key: ObjectKey, found: dict[str, frozenset[ObjectKey]], context: Context) -> None:
    """Log objects with equal values. Only the operator's log names them: a tenant must not see other namespaces."""
    memory = context.memory(key)
    if found != (memory.twins or {}):
        memory.twins = found or None
        for name, others in found.items():
            _log.warning(
                "equal values found", secret=str(key), item=name, others=sorted(str(one) for one in others)
            )
