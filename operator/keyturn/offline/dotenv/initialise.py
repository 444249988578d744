"""Fills .env files: missing values are generated, existing ones stay byte for byte."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from keyturn.core.value import Value

from . import files, gitignore, quoting
from .environments import Environment, Flaw, declared_at, flaws, readers_of, siblings
from .errors import Refused
from .generate import generate_missing
from .sources import Composed, Copied, IssuedElsewhere, Made, Rendered, written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from .declaration import Declaration, Variable
    from .document import Document
    from .generate import Making

__all__ = ["Filled", "Line", "check", "initialise", "rotate"]


@dataclass(frozen=True, slots=True)
class Line:
    """Result for one variable."""

    name: str
    fate: str
    how: str
    why: str


@dataclass(frozen=True, slots=True)
class Filled:
    """Result for one file."""

    file: str
    is_new: bool
    is_changed: bool
    was_open: bool
    """Whether other users could read it before."""
    lines: tuple[Line, ...]
    touched: frozenset[str]
    """Variables whose values changed, with those that read them."""
    flaws: tuple[Flaw, ...]
    """Problems that need manual action."""


def initialise(
    folder: Path, manifests: tuple[dict[str, Any], ...], names: Sequence[str]
) -> tuple[list[Filled], tuple[bytes, ...]]:
    """Fill the files of environments; return the results, and the lines added to .gitignore.

    Raises:
        Refused: A file cannot be read, or a value not generated; no file was changed.
    """
    with files.lock(folder):
        declaration, example = declared_at(folder, manifests)
        found = siblings(folder)
        planned = [_planned(found[name], declaration) for name in names]
        return _carry_out(folder, planned, declaration, example, found)


def rotate(
    folder: Path, manifests: tuple[dict[str, Any], ...], names: Sequence[str], variables: Sequence[str]
) -> tuple[list[Filled], tuple[bytes, ...]]:
    """Rotate the values of `variables` and all that depend on them.

    Raises:
        Refused: One is not generated here, or a file is missing; no file was changed.
    """
    with files.lock(folder):
        declaration, example = declared_at(folder, manifests)
        for name in variables:
            _hold_to_made(name, declaration)
        found = siblings(folder)
        planned = [_rotated(found[name], declaration, frozenset(variables)) for name in names]
        return _carry_out(folder, planned, declaration, example, found)


def check(folder: Path, manifests: tuple[dict[str, Any], ...], names: Sequence[str]) -> list[Flaw]:
    """Return the problems of the files and of .gitignore; write nothing."""
    declaration, example = declared_at(folder, manifests)
    found = siblings(folder)
    ignored = files.read(folder / gitignore.NAME) or b""
    open_ = [Flaw(gitignore.NAME, "", sentence) for sentence in gitignore.flaws(ignored)]
    return [*open_, *(flaw for name in names for flaw in flaws(found[name], declaration, example, found))]


# One file


@dataclass(frozen=True, slots=True, repr=False)
class _Plan:
    """One file, before and after."""

    before: Environment
    after: Document
    making: Making
    turned: frozenset[str]
    """Variables that are rotated."""


def _planned(one: Environment, declaration: Declaration) -> _Plan:
    document = replace(declaration.start if one.document is None else one.document, name=one.path.name)
    values, _ = document.values({})
    present = {name: Value.of_text(text) for name, text in values.items() if text}
    making = generate_missing(declaration, present, datetime.now(UTC))
    changes = {name: quoting.written(name, value) for name, value in making.fresh.items()}
    new = [variable.name for variable in declaration.variables if variable.name not in document.raw]
    every = {name: _as_in(declaration.start, name) for name in new} | changes
    ordered = {
        variable.name: every[variable.name] for variable in declaration.variables if variable.name in every
    }
    return _Plan(one, _verified(document, ordered, making), making, frozenset())


def _rotated(one: Environment, declaration: Declaration, variables: frozenset[str]) -> _Plan:
    if one.document is None:
        raise Refused(f"there is no {one.path}; keyturn init --environment {one.name} makes it")
    present = one.values
    if absent := sorted(variables - present.keys()):
        raise Refused(
            f"{one.path.name} has no value of {', '.join(absent)} to replace; keyturn init makes it"
        )
    making = generate_missing(declaration, present, datetime.now(UTC), variables)
    changes = {name: quoting.written(name, value) for name, value in making.fresh.items()}
    turned = frozenset(changes)
    return _Plan(one, _verified(one.document, changes, making), making, turned)


def _as_in(start: Document, name: str) -> str:
    entry = start.entry(name)
    return entry.written if entry else ""


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


def _hold_to_made(name: str, declaration: Declaration) -> None:
    variable = declaration.variable(name)
    if variable is None:
        like = difflib.get_close_matches(name, [one.name for one in declaration.secrets], n=3)
        hint = f"; did you mean {', '.join(like)}?" if like else ""
        raise Refused(f"nothing declares a variable {name!r}{hint}")
    match variable.source:
        case Made():
            return
        case Rendered():
            raise Refused(f"{name} is rendered of other values; rotate those")
        case Composed():
            raise Refused(f"{name} only reads others: {variable.why}; rotate those")
        case IssuedElsewhere():
            raise Refused(
                f"{name} is issued by another service: get a new one there and write it into the file"
            )
        case Copied():
            raise Refused(f"{name} is not a secret; add a hint, such as # keyturn: password, if it is one")


# All files


def _carry_out(
    folder: Path,
    planned: Iterable[_Plan],
    declaration: Declaration,
    example: Document | None,
    found: Mapping[str, Environment],
) -> tuple[list[Filled], tuple[bytes, ...]]:
    """Write after everything succeeded; .gitignore first."""
    plans = list(planned)
    after = dict(found) | {plan.before.name: _as_planned(plan) for plan in plans}
    ignored = gitignore.complete(folder)
    filled = [_write(plan) for plan in plans]
    return [
        replace(
            one,
            lines=tuple(_lines(plan, declaration)),
            touched=readers_of(plan.after, plan.turned),
            flaws=tuple(flaws(after[plan.before.name], declaration, example, after)),
        )
        for one, plan in zip(filled, plans, strict=True)
    ], ignored


def _as_planned(plan: _Plan) -> Environment:
    return replace(plan.before, content=plan.after.content, document=plan.after)


def _write(plan: _Plan) -> Filled:
    path, content = plan.before.path, plan.after.content
    is_new, is_changed = plan.before.content is None, plan.before.content != content
    was_open = not is_new and not files.is_private(path)
    if is_changed:
        files.write(path, content, instead_of=plan.before.content)
    elif was_open:
        files.make_private(path)
    return Filled(path.name, is_new, is_changed, was_open, (), frozenset(), ())


def _lines(plan: _Plan, declaration: Declaration) -> Iterator[Line]:
    for variable in declaration.variables:
        fate = _fate(variable, plan)
        why = plan.making.lacking.get(variable.name) or variable.why
        yield Line(variable.name, fate, _how(variable), why)


def _fate(variable: Variable, plan: _Plan) -> str:
    name = variable.name
    if name in plan.turned:
        return "replaced"
    if plan.before.document is not None and plan.before.document.raw.get(name):
        return "kept"
    if name in plan.making.fresh:
        return "made" if isinstance(variable.source, Made) else "written"
    return "missing" if variable.is_secret else "copied"


def _how(variable: Variable) -> str:
    match variable.source:
        case Made():
            return written(variable.source)
        case IssuedElsewhere():
            return "given by a person"
        case Rendered():
            return "a template"
        case Composed() | Copied():
            return ""
