"""Sources of a variable's value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAIN", "Composed", "Copied", "IssuedElsewhere", "Made", "Rendered", "Source", "written"]

MAIN = ""
"""The output for the variable with the recipe; only the generator knows its name."""


@dataclass(frozen=True, slots=True)
class Made:
    """Generated; equal for all variables of its outputs."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """Further variables by output."""


@dataclass(frozen=True, slots=True)
class IssuedElsewhere:
    """Issued by an external party, and entered manually."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rendered by a Liquid template from other values."""

    template: str


@dataclass(frozen=True, slots=True)
class Composed:
    """Composed: contains secrets by ${…}, which readers of the file expand."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Not secret; copied from .env.example."""


Source: TypeAlias = Made | IssuedElsewhere | Rendered | Composed | Copied


def written(made: Made) -> str:
    """Return a recipe in the syntax of hints."""
    return " ".join((made.kind, *(f"{name}={_written(setting)}" for name, setting in made.settings.items())))


def _written(setting: object) -> str:
    return str(setting).lower() if isinstance(setting, bool) else str(setting)
