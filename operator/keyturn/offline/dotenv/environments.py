"""Compares the .env files of a folder: missing values, and values that two of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keyturn.core.value import Value

from . import files
from .declaration import ENVIRONMENTS, EXAMPLE, declared_in
from .document import Document, references
from .errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .declaration import Declaration

__all__ = [
    "Environment",
    "Flaw",
    "before",
    "declared_at",
    "file_of",
    "flaws",
    "opened",
    "readers_of",
    "siblings",
]


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
        if self.document is None:
            return {}
        found, _ = self.document.values({})
        return {name: Value.of_text(text) for name, text in found.items() if text}


@dataclass(frozen=True, slots=True)
class Flaw:
    """A problem of one variable, or of the file."""

    file: str
    variable: str
    """Empty for the file."""
    sentence: str


def file_of(folder: Path, environment: str) -> Path:
    return folder / f".env.{environment}"


def opened(folder: Path, name: str) -> Environment:
    """Read the file of an environment.

    Raises:
        Refused: It exists and cannot be read.
    """
    path = file_of(folder, name)
    content = files.read(path)
    return Environment(name, path, content, None if content is None else Document.read(path.name, content))


def siblings(folder: Path) -> dict[str, Environment]:
    """Read the files of all environments."""
    return {name: opened(folder, name) for name in ENVIRONMENTS}


def readers_of(document: Document, names: frozenset[str]) -> frozenset[str]:
    """Add the variables that read others by ${…}, directly or through others."""
    grown = set(names)
    for entry in document.variables:
        if entry.name and not grown.isdisjoint(references(entry.raw)):
            grown.add(entry.name)
    return frozenset(grown)


def before(folder: Path, remedy: str = "write one, or name its folder") -> Document:
    """Read .env.example.

    Raises:
        Refused: It is missing or cannot be read.
    """
    content = files.read(folder / EXAMPLE)
    if content is None:
        raise Refused(f"there is no {folder / EXAMPLE}; {remedy}")
    return Document.read(EXAMPLE, content)


def declared_at(folder: Path, manifests: tuple[dict[str, Any], ...]) -> tuple[Declaration, Document | None]:
    """Return the declaration of manifests, or of .env.example without any, with that file."""
    if manifests:
        from .read_manifests import declared_by  # noqa: PLC0415  # on first use: it brings the API's models

        return declared_by(manifests), None
    example = before(folder, "write one, name its folder, or name manifests with -f")
    return declared_in(example), example


def flaws(
    one: Environment, declaration: Declaration, example: Document | None, others: Mapping[str, Environment]
) -> Iterator[Flaw]:
    """Yield values that need manual action: missing, unset, equal to the example, or shared with another file."""
    file = one.path.name
    if one.document is None:
        yield Flaw(file, "", f"is not there; keyturn init --environment {one.name}")
        return
    if not files.is_private(one.path):
        yield Flaw(file, "", "can be read by others; chmod 600, or keyturn init")
    values = one.values
    beside = {other.path.name: other.values for other in others.values() if other.name != one.name}
    samples = example.raw if example else {}
    _, unset = one.document.values({})
    for reference in unset:
        if declaration.variable(reference.reference):
            yield Flaw(file, reference.name, f"reads {reference.reference}, which is not set above it")
    yield from _of_another_environment(one, declaration)
    for variable in declaration.secrets:
        value = values.get(variable.name)
        if value is None:
            yield Flaw(file, variable.name, "is missing")
        elif value == Value.of_text(samples.get(variable.name, "")):
            yield Flaw(file, variable.name, f"is still the text of {EXAMPLE}")
        else:
            twins = (
                file for file, others_values in beside.items() if others_values.get(variable.name) == value
            )
            yield from (Flaw(file, variable.name, f"has the same value in {twin}") for twin in twins)


def _of_another_environment(one: Environment, declaration: Declaration) -> Iterator[Flaw]:
    """Yield values that name an earlier environment, such as NODE_ENV=development in production; no secrets."""
    earlier = ENVIRONMENTS[: ENVIRONMENTS.index(one.name)] if one.name in ENVIRONMENTS else ()
    secrets = {variable.name for variable in declaration.secrets}
    for name, value in one.values.items():
        named = next((text for text in earlier if value == Value.of_text(text)), None)
        if named and name not in secrets:
            yield Flaw(one.path.name, name, f"is {named}; write {one.name}, or what this environment needs")
