"""The .env file of each environment, what it lacks, and which values two files share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.core.value import Value

from . import files
from .declaration import EXAMPLE, declared_at
from .document import Document
from .files import Refused
from .inference import Copied, inferred

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from .declaration import Declaration

ENVIRONMENTS: Final = ("development", "staging", "production")


@dataclass(frozen=True, slots=True, repr=False)
class Environment:
    """One file .env.<environment>."""

    name: str
    path: Path
    content: bytes | None
    """None without a file."""
    document: Document | None

    @property
    def values(self) -> Mapping[str, Value]:
        """All values that are not empty."""
        found = self.document.values() if self.document else {}
        return {name: Value.of_text(text) for name, text in found.items() if text}


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem of one variable, or of the file."""

    file: str
    variable: str
    """Empty for the file."""
    sentence: str


def opened(folder: Path, name: str) -> Environment:
    """Read the file of an environment."""
    path = folder / f".env.{name}"
    content = files.read(path)
    return Environment(name, path, content, None if content is None else Document.read(path.name, content))


def siblings(folder: Path) -> dict[str, Environment]:
    """Read the files of all environments."""
    return {name: opened(folder, name) for name in ENVIRONMENTS}


def flaws(one: Environment, declaration: Declaration, others: Mapping[str, Environment]) -> Iterator[Flaw]:
    """Yield values that need manual action: missing, unset, equal to the example, or shared with another file."""
    file = one.path.name
    if one.document is None:
        yield Flaw(file, "", f"is not there; keyturn init --environment {one.name}")
        return
    if not files.is_private(one.path):
        yield Flaw(file, "", "can be read by others; chmod 600, or keyturn init")
    for entry, other in one.document.unset():
        if declaration.variable(other):
            yield Flaw(file, entry.name or "", f"reads {other}, which is not set above it")
    values, samples = one.values, declaration.example.raw
    known = {other.path.name: other.values for other in others.values() if other.name != one.name}
    for name in (variable.name for variable in declaration.secrets):
        if (value := values.get(name)) is None:
            yield Flaw(file, name, "is missing")
        elif value == Value.of_text(samples[name]):
            yield Flaw(file, name, f"is still the text of {EXAMPLE}")
        else:
            equal = [other for other, found in known.items() if found.get(name) == value]
            yield from (Flaw(file, name, f"has the same value in {other}") for other in equal)


def complete(document: Document, needed: Iterable[str], surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return all variables with expanded references; `surroundings` has variables that the file does not set."""
    values = document.values(surroundings)
    if missing := [name for name in needed if not values.get(name)]:
        raise Refused(
            f"{document.name} has no value of {', '.join(missing)}; keyturn init says what it needs"
        )
    for one, other in document.unset(surroundings):
        # Only names in the file are quoted: other text may be part of a password that contains ${.
        what = f"{other} by ${{…}}, which is" if other in values else "by ${…} what is"
        raise Refused(
            f"{document.name}, line {one.line}: {one.name} reads {what} not set above it;"
            " set that, or write ${NAME:-} if it may be empty"
        )
    return values


def values_in(path: Path, surroundings: Mapping[str, str]) -> dict[str, str]:
    """Read a complete file, with the secrets that .env.example declares, or without it those that names suggest."""
    content = files.read(path)
    if content is None:
        raise Refused(f"there is no {path}; name another with -f, or make .env.development by keyturn init")
    document = Document.read(path.name, content)
    if (path.parent / EXAMPLE).exists():
        needed = [variable.name for variable in declared_at(path.parent).secrets]
    else:
        found = {name: inferred(name, raw, in_a_url=False).source for name, raw in document.raw.items()}
        needed = [name for name, source in found.items() if not isinstance(source, Copied)]
    return complete(document, needed, surroundings)
