"""Declaration of .env.example: every variable with the source of its value, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .document import references
from .errors import Refused
from .hints import hint_for, source_in
from .inference import inferred
from .sources import MAIN, Composed, Copied, IssuedElsewhere, Made, Rendered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.core.value import Value

    from .document import Document, Entry
    from .sources import Source

__all__ = [
    "ENVIRONMENTS",
    "EXAMPLE",
    "Declaration",
    "DeclaredVariable",
    "Part",
    "Variable",
    "declared_in",
    "hold_to_names",
]

EXAMPLE: Final = ".env.example"
ENVIRONMENTS: Final = ("development", "staging", "production")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable with its source."""

    name: str
    source: Source
    why: str

    @property
    def is_secret(self) -> bool:
        """Whether its own value is secret; a composed one contains secrets of others."""
        return isinstance(self.source, Made | IssuedElsewhere | Rendered)

    @property
    def holds_a_secret(self) -> bool:
        return not isinstance(self.source, Copied)


@dataclass(frozen=True, slots=True)
class DeclaredVariable:
    """A value of a part, with the variables of its outputs."""

    name: str
    made: Made | None
    """None for a value that exists in the file only."""
    variables: Mapping[str, str]
    literal: Value | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Values that are generated together: those of .env.example, or of one ManagedSecret."""

    name: str
    items: tuple[DeclaredVariable, ...]
    templates: Mapping[str, str]
    """Template of each rendered variable."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """All declared variables."""

    variables: tuple[Variable, ...]
    parts: tuple[Part, ...]
    start: Document
    """Content of a new file."""

    def variable(self, name: str) -> Variable | None:
        return next((one for one in self.variables if one.name == name), None)

    @property
    def secrets(self) -> tuple[Variable, ...]:
        return tuple(one for one in self.variables if one.is_secret)


def declared_in(example: Document) -> Declaration:
    """Parse the declarations of .env.example.

    Raises:
        Refused: A hint is invalid, or a variable reads one that is not set above it.
    """
    _hold_to_order(example)
    in_urls = {name for one in example.variables if _URL.match(one.raw) for name in references(one.raw)}
    chosen = {one.name: _variable(example, one, in_urls) for one in _once(example) if one.name}
    outputs = {
        output: Variable(output, one.source, f"an output of {one.name}")
        for one in chosen.values()
        if isinstance(one.source, Made)
        for output in one.source.variables.values()
    }
    variables = _with_composed({**chosen, **outputs}, example)
    hold_to_names(example.name, variables)
    return Declaration(
        tuple(variables.values()), (_part(example.name, chosen, outputs),), _emptied(example, variables)
    )


def hold_to_names(file: str, variables: Mapping[str, Variable]) -> None:
    """Reject secrets with names that a shell cannot set."""
    for one in variables.values():
        if one.holds_a_secret and not _NAME.fullmatch(one.name):
            raise Refused(
                f"{file}: {one.name!r} cannot be set by a shell; use letters, digits and underscores"
            )


def _once(example: Document) -> Iterator[Entry]:
    for one in example.variables:
        if example.entry(one.name or "") is one:
            yield one


def _variable(example: Document, entry: Entry, in_urls: set[str]) -> Variable:
    name = entry.name or ""
    place = f"{example.name}, line {entry.line}"
    hint = hint_for(example, entry)
    if hint is not None:
        return Variable(name, source_in(hint, entry, example.raw.keys() - {name}, place), "its hint")
    source, why = inferred(name, entry.raw, in_a_url=name in in_urls)
    return Variable(name, source, why)


def _with_composed(variables: Mapping[str, Variable], example: Document) -> dict[str, Variable]:
    """Mark the variables that read secrets, directly or through others; keeps the order of the file."""
    found: dict[str, Variable] = {}
    for name, one in variables.items():
        read = [other for other in references(example.raw.get(name, "")) if other in variables]
        secret = [other for other in read if other in found and found[other].holds_a_secret]
        if isinstance(one.source, Copied) and secret:
            found[name] = Variable(name, Composed(), f"it reads {', '.join(dict.fromkeys(secret))}")
        else:
            found[name] = one
    return found


def _part(file: str, chosen: Mapping[str, Variable], outputs: Mapping[str, Variable]) -> Part:
    items = tuple(
        DeclaredVariable(name, one.source, {**one.source.variables, MAIN: name})
        if isinstance(one.source, Made)
        else DeclaredVariable(name, None, {MAIN: name})
        for name, one in chosen.items()
        if name not in outputs and not isinstance(one.source, Rendered)
    )
    templates = {
        name: one.source.template for name, one in chosen.items() if isinstance(one.source, Rendered)
    }
    return Part(file, items, templates)


def _emptied(example: Document, variables: Mapping[str, Variable]) -> Document:
    """Remove placeholder texts of secrets."""
    secret = [one.name for one in variables.values() if one.is_secret and example.raw.get(one.name)]
    return example.with_written(dict.fromkeys(secret, ""))


def _hold_to_order(example: Document) -> None:
    _, unset = example.values({})
    for one in unset:
        if one.reference in example.raw:
            raise Refused(
                f"{example.name}, line {one.line}: {one.name} reads {one.reference}, which is set below it;"
                " move that above it"
            )
