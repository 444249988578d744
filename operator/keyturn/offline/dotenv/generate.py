"""Generates missing values with the operator's generators, from the values of the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keyturn import generators
from keyturn.api.recipe import Recipe
from keyturn.core.errors import Stalled

from .files import Refused
from .inference import Made, Output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.core.value import Value
    from keyturn.generators import Generator, Outputs

    from .declaration import Declaration, Variable


@dataclass(slots=True)
class Making:
    """Generated values, and why others could not be generated."""

    fresh: dict[str, Value] = field(default_factory=dict)
    """By variable."""
    lacking: dict[str, str] = field(default_factory=dict)
    """Why a variable has no value."""


@dataclass(frozen=True, slots=True)
class Item:
    """A variable with a recipe, its generator, and the variable of each output that has one."""

    name: str
    generator: Generator[Any]
    keys: Mapping[str, str]


def item_of(variable: Variable, made: Made) -> Item:
    """Return a variable with its generator."""
    try:
        generator = generators.make(Recipe({made.kind: dict(made.settings)}))
    except Stalled as stalled:
        sentence = f"{variable.name}: {stalled.message}"
    else:
        there = {field.alias or name for name, field in generator.Config.model_fields.items()}
        if unknown := sorted(made.settings.keys() - there):
            hint = f"it has {', '.join(sorted(there))}" if there else "it has none"
            raise Refused(f"{variable.name}: {made.kind} has no setting {', '.join(unknown)}; {hint}")
        if unknown := sorted(made.variables.keys() - set(generator.outputs)):
            outputs = ", ".join(generator.outputs)
            raise Refused(f"{variable.name}: {made.kind} makes no {', '.join(unknown)}; it makes {outputs}")
        if generator.issuer_secret:
            raise Refused(
                f"{variable.name}: its issuer is a Secret of a cluster; write issuer='{{selfSigned: {{}}}}'"
            )
        # The variable with the recipe has the first secret output without another variable.
        left = [output for output in generator.outputs if output not in made.variables]
        secret = [output for output in left if output not in generator.public]
        main = (secret or left or list(generator.outputs))[0]
        return Item(variable.name, generator, {main: variable.name, **made.variables})
    raise Refused(sentence)


def generate_missing(
    declaration: Declaration,
    present: Mapping[str, Value],
    now: datetime,
    renew: frozenset[str] = frozenset(),
) -> Making:
    """Generate missing values; with `renew` regenerate these variables and all that depend on them, and no others."""
    making = Making()
    given = [one.name for one in declaration.variables if not isinstance(one.source, Made | Output)]
    outputs: dict[str, Outputs] = {name: {"value": present[name]} for name in given if name in present}
    touched: set[str] = set()
    for item in _in_order(declaration, set(given)):
        found = {output: present[name] for output, name in item.keys.items() if name in present}
        absent = [name for name in item.keys.values() if name not in present]
        needs = item.generator.needs
        is_renewed = not renew.isdisjoint(item.keys.values()) or not needs.isdisjoint(touched)
        if not absent and not is_renewed:
            outputs[item.name] = found
        elif renew and not is_renewed:
            continue  # reported as missing: another variable was requested
        elif found and not is_renewed:
            there = ", ".join(sorted(item.keys[output] for output in found))
            making.lacking |= dict.fromkeys(absent, f"it belongs to {there}, which is there: rotate that")
        elif lacking := needs - outputs.keys():
            why = f"it is made from {', '.join(sorted(lacking))}, which is not here"
            making.lacking |= dict.fromkeys(item.keys.values(), why)
        else:
            outputs[item.name] = _generate(item, now, outputs)
            touched.add(item.name)
            making.fresh |= {name: outputs[item.name][output] for output, name in item.keys.items()}
    return making


def _in_order(declaration: Declaration, done: set[str]) -> list[Item]:
    """Return the recipes so that each follows those that it needs; `done` are the other variables."""
    left = [item_of(one, one.source) for one in declaration.variables if isinstance(one.source, Made)]
    known, ordered = done | {item.name for item in left}, list[Item]()
    while left:
        ready = [item for item in left if item.generator.needs <= done]
        if not ready:
            lacking = sorted(left[0].generator.needs - known)
            reason = f"needs {', '.join(lacking)}, which there is not" if lacking else "is made from itself"
            raise Refused(f"{left[0].name} {reason}")
        ordered += ready
        done |= {item.name for item in ready}
        left = [item for item in left if item not in ready]
    return ordered


def _generate(item: Item, now: datetime, outputs: Mapping[str, Outputs]) -> Outputs:
    try:
        return item.generator.generate(generators.GeneratorContext(now, outputs))
    except Stalled as stalled:
        sentence = f"{item.name}: {stalled.message}"
    raise Refused(sentence)
