"""Fills .env files: missing values are generated, existing ones stay byte for byte."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keyturn.core.value import Value

from . import files, gitignore
from .declaration import declared_at
from .document import quoted
from .environments import Environment, Flaw, flaws, siblings
from .files import Refused
from .generate import generate_missing
from .inference import IssuedElsewhere, Made, Output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from .declaration import Declaration, Variable
    from .document import Document
    from .generate import Making


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
        found = siblings(folder)
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
        ignored = gitignore.complete(folder)
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


def check(folder: Path, names: Sequence[str]) -> list[Flaw]:
    """Return the problems of the files and of .gitignore; write nothing."""
    declaration, found = declared_at(folder), siblings(folder)
    ignored = files.read(folder / gitignore.NAME) or b""
    open_ = [Flaw(gitignore.NAME, "", sentence) for sentence in gitignore.flaws(ignored)]
    return [*open_, *(flaw for name in names for flaw in flaws(found[name], declaration, found))]


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
        raise Refused(f"there is no {one.path}; keyturn init --environment {one.name} makes it")
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
