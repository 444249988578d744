"""Where the value of a variable comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAIN", "Composed", "Copied", "IssuedElsewhere", "Made", "Rendered", "Source", "written"]

MAIN = ""
"""The output that the variable gets beside which a recipe stands; only the generator knows its name."""


@dataclass(frozen=True, slots=True)
class Made:
    """A generator makes it; the same one for each of the variables that its outputs are written to."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """The other variables that get an output, by its name."""


@dataclass(frozen=True, slots=True)
class IssuedElsewhere:
    """Somebody else issues it, and a person writes it into the file."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A Liquid template makes it of other values."""

    template: str


@dataclass(frozen=True, slots=True)
class Composed:
    """It reads secrets by ${…}, which whoever reads the file fills in."""


@dataclass(frozen=True, slots=True)
class Copied:
    """It is no secret, and as in .env.example."""


Source: TypeAlias = Made | IssuedElsewhere | Rendered | Composed | Copied


def written(made: Made) -> str:
    """Write a recipe as a hint names it."""
    return " ".join((made.kind, *(f"{name}={_written(setting)}" for name, setting in made.settings.items())))


def _written(setting: object) -> str:
    return str(setting).lower() if isinstance(setting, bool) else str(setting)
