"""Fills .env files: missing values are generated, existing ones stay byte for byte."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keyturn import generators
from keyturn.api.base import Recipe
from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.generators import Generator, Outputs

from . import environments, files
from .declaration import Declaration, IssuedElsewhere, Made, Output, Variable, declared_at
from .document import Document, quoted
from .environments import Environment, Flaw, flaws, init_for, siblings
from .files import Refused


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
    declaration: Declaration, present: Mapping[str, Value], now: datetime, renew: frozenset[str] = frozenset()
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


# Files


@dataclass(frozen=True, slots=True)
class Filled:
    """Result for one file."""

    file: str
    state: str
    lines: tuple[tuple[str, str, str, str], ...]
    """Each variable: its name, what became of it, how, and why."""
    flaws: tuple[Flaw, ...]
    """Problems that need manual action."""


@dataclass(frozen=True, slots=True, repr=False)
class _Plan:
    """One file, before and after."""

    before: Environment
    after: Document
    making: Making
    renewed: frozenset[str]


def fill(
    folder: Path, names: Sequence[str], renewed: Sequence[str] = ()
) -> tuple[list[Filled], tuple[bytes, ...]]:
    """Fill the files of environments, or replace the values of `renewed` and all that depend on them.

    Returns the results, and the lines added to .gitignore, which is written first.
    """
    with files.lock(folder):
        declaration = declared_at(folder)
        for name in renewed:
            _check_rotatable(name, declaration)
        found = siblings(folder, names)
        plans = [
            _renewal(found[name], declaration, frozenset(renewed))
            if renewed
            else _filling(found[name], declaration)
            for name in names
        ]
        later = {
            one.before.name: replace(one.before, content=one.after.content, document=one.after)
            for one in plans
        }
        after = found | later
        ignored = environments.complete_gitignore(folder)
        states = [_write(one) for one in plans]
        return [
            Filled(
                one.before.path.name,
                state,
                tuple(_lines(one, declaration)),
                tuple(flaws(after[one.before.name], declaration, after)),
            )
            for one, state in zip(plans, states, strict=True)
        ], ignored


def check(folder: Path, names: Sequence[str], is_weak: Callable[[str, Value], bool]) -> list[Flaw]:
    """Return the problems of the files, of all without names, and of .gitignore; write nothing."""
    declaration, names = declared_at(folder), names or environments.existing(folder) or [environments.USUAL]
    found = siblings(folder, names)
    ignored = files.read(folder / environments.GITIGNORE) or b""
    open_ = [Flaw(environments.GITIGNORE, "", sentence) for sentence in environments.gitignore_flaws(ignored)]
    for one in (found[name] for name in names):
        open_ += flaws(one, declaration, found)
        open_ += environments.weak_values(one, declaration, is_weak)
    return open_


def _filling(one: Environment, declaration: Declaration) -> _Plan:
    document = replace(one.document or declaration.start, name=one.path.name)
    present = {name: Value.of_text(text) for name, text in document.values().items() if text}
    making = generate_missing(declaration, present, datetime.now(UTC))
    changes = {name: quoted(name, value) for name, value in making.fresh.items()}
    samples = {entry.name: entry.written for entry in declaration.start.variables}
    every = [variable.name for variable in declaration.variables]
    new = {name: samples[name] for name in every if name not in document.raw} | changes
    ordered = {name: new[name] for name in every if name in new}
    return _Plan(one, _verified(document, ordered, making), making, frozenset())


def _renewal(one: Environment, declaration: Declaration, variables: frozenset[str]) -> _Plan:
    if one.document is None:
        raise Refused(f"there is no {one.path}; {init_for(one.name)} makes it")
    present = one.values
    if absent := sorted(variables - present.keys()):
        raise Refused(
            f"{one.path.name} has no value of {', '.join(absent)} to replace; keyturn init makes it"
        )
    making = generate_missing(declaration, present, datetime.now(UTC), variables)
    changes = {name: quoted(name, value) for name, value in making.fresh.items()}
    return _Plan(one, _verified(one.document, changes, making), making, frozenset(changes))


def _verified(document: Document, changes: Mapping[str, str], making: Making) -> Document:
    """Apply the changes and parse the result: it must have the new values and all others unchanged."""
    after = document.with_written(changes)
    expected = {name: text for name, text in document.raw.items() if name not in changes}
    kept = {name: text for name, text in after.raw.items() if name not in changes}
    found = {name: Value.of_text(after.raw.get(name, "")) for name in making.fresh}
    if kept != expected or found != making.fresh:
        raise Refused(
            f"{document.name} cannot be changed so that programs read it right; simplify its quoting"
        )
    return after


def _check_rotatable(name: str, declaration: Declaration) -> None:
    variable = declaration.variable(name)
    if variable is None:
        like = difflib.get_close_matches(name, [one.name for one in declaration.secrets], n=3)
        hint = f"; did you mean {', '.join(like)}?" if like else ""
        raise Refused(f"nothing declares a variable {name!r}{hint}")
    if not isinstance(variable.source, Made | Output):
        raise Refused(
            f"{name} is not generated here ({variable.why or 'it is copied'}); rotate what it reads, write a new one"
            " where it is issued elsewhere, or add a hint, such as # keyturn: password"
        )


def _write(plan: _Plan) -> str:
    """Write a file if it changes; return what became of it."""
    path, before, content = plan.before.path, plan.before.content, plan.after.content
    was_open = before is not None and not files.is_private(path)
    if before != content:
        files.write(path, content, instead_of=before)
    elif was_open:
        files.make_private(path)
    state = "is new" if before is None else "is unchanged" if before == content else "is changed"
    return f"{state}; until now other users could read it" if was_open else state


def _lines(plan: _Plan, declaration: Declaration) -> Iterator[tuple[str, str, str, str]]:
    for variable in declaration.variables:
        if plan.renewed and variable.name not in plan.renewed:
            continue
        why = plan.making.lacking.get(variable.name) or variable.why
        yield variable.name, _fate(variable, plan), _how(variable), why


def _fate(variable: Variable, plan: _Plan) -> str:
    if variable.name in plan.renewed:
        return "replaced"
    if plan.before.document and plan.before.document.raw.get(variable.name):
        return "kept"
    if variable.name in plan.making.fresh:
        return "made"
    return "missing" if variable.is_secret else "copied"


def _how(variable: Variable) -> str:
    match variable.source:
        case Made():
            return str(variable.source)
        case Output():
            return "with it"
        case IssuedElsewhere():
            return "given by a person"
        case _:
            return ""
