"""Declaration of .env.example: every variable with the source of its value, and why.

The source is a hint above or after a variable; without one the name decides:

# keyturn: password length=40 symbols=false    a generator with its settings, as a ManagedSecret has them
# keyturn: ecKey publicKey=JWT_PUBLIC_KEY      another variable gets another output of it
# keyturn: class=database-password             what a shipped class makes
# keyturn: given                               an external party issues it; entered manually
# keyturn: keep                                no secret: as in .env.example
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from . import files
from .document import Document, references
from .files import Refused
from .inference import SHIPPED, Composed, Copied, IssuedElsewhere, Made, Output, inferred

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from .document import Entry
    from .inference import Source

EXAMPLE: Final = ".env.example"
_URL: Final = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HINT: Final = re.compile(r"#\s*keyturn:\s*(.*)")
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_FORMS: Final = "write a generator with its settings, such as bytes length=32, or class=NAME, given or keep"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable with its source."""

    name: str
    source: Source
    why: str

    @property
    def is_secret(self) -> bool:
        """Whether its own value is secret; a composed one contains secrets of others."""
        return not isinstance(self.source, Copied | Composed)


@dataclass(frozen=True, slots=True)
class Declaration:
    """All declared variables."""

    variables: tuple[Variable, ...]
    example: Document
    start: Document
    """Content of a new file: the example without the texts of secrets."""

    def variable(self, name: str) -> Variable | None:
        return next((one for one in self.variables if one.name == name), None)

    @property
    def secrets(self) -> tuple[Variable, ...]:
        return tuple(one for one in self.variables if one.is_secret)


def declared_at(folder: Path) -> Declaration:
    """Read the declarations of .env.example."""
    content = files.read(folder / EXAMPLE)
    if content is None:
        raise Refused(f"there is no {folder / EXAMPLE}; write one, or name its folder")
    return declared_in(Document.read(EXAMPLE, content))


def declared_in(example: Document) -> Declaration:
    """Parse the declarations of .env.example."""
    for entry, other in example.unset():
        if other in example.raw:
            raise Refused(
                f"{example.name}, line {entry.line}: {entry.name} reads {other}, which is set below it;"
                " move that above it"
            )
    in_urls = {name for one in example.variables if _URL.match(one.raw) for name in references(one.raw)}
    chosen = {one.name: _variable(example, one, in_urls) for one in example.variables if one.name}
    for one in list(chosen.values()):
        if isinstance(one.source, Made):
            outputs = {name: Output(one.name) for name in one.source.variables.values()}
            chosen |= {name: Variable(name, of, f"an output of {one.name}") for name, of in outputs.items()}
    variables = _with_composed(chosen, example)
    secret = [one.name for one in variables if one.is_secret and example.raw[one.name]]
    return Declaration(variables, example, example.with_written(dict.fromkeys(secret, "")))


def _variable(example: Document, entry: Entry, in_urls: set[str]) -> Variable:
    name, place = entry.name or "", f"{example.name}, line {entry.line}"
    example.entry(name)  # refuses a second one
    hint = _hint_for(example, entry)
    if hint is not None:
        return Variable(name, _source_in(hint, example.raw.keys() - {name}, place), "its hint")
    source, why = inferred(name, entry.raw, in_a_url=name in in_urls)
    return Variable(name, source, why)


def _with_composed(variables: dict[str, Variable], example: Document) -> tuple[Variable, ...]:
    """Mark the variables that read secrets, directly or through others; keeps the order of the file."""
    found: dict[str, Variable] = {}
    for name, one in variables.items():
        read = [other for other in references(example.raw[name]) if other in found]
        secret = [other for other in read if not isinstance(found[other].source, Copied)]
        is_composed = isinstance(one.source, Copied) and secret
        found[name] = (
            Variable(name, Composed(), f"it reads {', '.join(dict.fromkeys(secret))}") if is_composed else one
        )
    return tuple(found.values())


# Hints


def _hint_for(document: Document, entry: Entry) -> str | None:
    """Return the hint in the comments right above a variable, or after it."""
    place = next(number for number, one in enumerate(document.entries) if one is entry)
    comments = [entry.comment]
    while (
        place
        and not document.entries[place].follows_a_blank_line
        and document.entries[place - 1].name is None
    ):
        place -= 1
        comments.append(document.entries[place].comment)
    found = [hint[1].strip() for comment in comments if (hint := _HINT.match(comment))]
    if len(found) > 1:
        raise Refused(f"{document.name}, line {entry.line}: {entry.name} has {len(found)} hints; keep one")
    return found[0] if found else None


def _source_in(hint: str, variables: Collection[str], place: str) -> Source:
    """Return the source of a hint; `variables` are all others of the file."""
    try:
        words = shlex.split(hint)
    except ValueError:
        raise Refused(f"{place}: a quote of the hint is not closed; close it") from None
    match words:
        case ["given"]:
            return IssuedElsewhere()
        case ["keep"]:
            return Copied()
        case [first] if first.startswith("class="):
            name = first.removeprefix("class=")
            if name not in SHIPPED:
                there = ", ".join(sorted(SHIPPED))
                raise Refused(f"{place}: there is no shipped class {name!r}; write one of {there}")
            return SHIPPED[name]
        case [kind, *options] if _KIND.fullmatch(kind):
            return _made(kind, options, variables, place)
        case _:
            raise Refused(f"{place}: the hint names no source; {_FORMS}")


def _made(kind: str, options: Iterable[str], variables: Collection[str], place: str) -> Made:
    settings: dict[str, Any] = {}
    outputs: dict[str, str] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not name or not equals:
            raise Refused(f"{place}: {option!r} is no setting; write NAME=VALUE, such as length=32")
        if text in variables:
            outputs[name] = text
        else:
            settings[name] = _setting(text, place)
    return Made(kind, settings, outputs)


def _setting(text: str, place: str) -> object:
    if text in {"true", "false"}:
        return text == "true"
    if re.fullmatch(r"\d{1,9}", text):
        return int(text)
    if not text.startswith(("[", "{")):
        return text
    import yaml  # noqa: PLC0415  # on first use: few hints have lists

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # ValueError: of a date that does not exist
        found = None
    if not isinstance(found, dict | list):
        raise Refused(f"{place}: a list is written as [a.test, b.test], within quotes where it has blanks")
    return found
