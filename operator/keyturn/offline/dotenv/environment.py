"""The complete environment of a .env file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .declaration import EXAMPLE, declared_in
from .environments import before
from .errors import Refused
from .inference import inferred
from .sources import Copied

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from .document import Document

__all__ = ["complete", "needed_by"]


def complete(document: Document, needed: Iterable[str], surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return all variables with expanded references; `surroundings` has variables that the file does not set.

    Raises:
        Refused: A needed variable has no value, or one references an unset variable.
    """
    values, unset = document.values(surroundings)
    if missing := [name for name in needed if not values.get(name)]:
        raise Refused(
            f"{document.name} has no value of {', '.join(missing)}; keyturn init says what it needs"
        )
    for one in unset:
        # Only names in the file are quoted: other text may be part of a password that contains ${.
        what = f"{one.reference} by ${{…}}, which is" if one.reference in values else "by ${…} what is"
        raise Refused(
            f"{document.name}, line {one.line}: {one.name} reads {what} not set above it;"
            " set that, or write ${NAME:-} if it may be empty"
        )
    return values


def needed_by(folder: Path, document: Document) -> tuple[str, ...]:
    """Return the secrets that .env.example declares; without it, those that their names suggest."""
    if (folder / EXAMPLE).exists():
        return tuple(variable.name for variable in declared_in(before(folder)).secrets)
    found = (
        (one.name, inferred(one.name, one.raw, in_a_url=False)) for one in document.variables if one.name
    )
    return tuple(dict.fromkeys(name for name, chosen in found if not isinstance(chosen.source, Copied)))
