"""Kinds of database servers: one module or package per engine, found by its name.

`databases.base` is the interface, with the contract of each method. A driver is imported on first use,
so that it costs memory only where its engine is used.

Imports: `databases.base`, `databases.errors`, `runtime`, `core`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from keyturn.databases.base import Engine
from keyturn.runtime import imports

__all__ = ["engine_for", "engines"]


@functools.cache
def engines() -> Mapping[str, type[Engine]]:
    """Find the engines by their kind, in alphabetical order; no driver is imported for that."""
    return imports.discover(__name__, Engine)  # type: ignore[type-abstract]  # only its subclasses are created


def engine_for(kind: str) -> type[Engine] | None:
    """Return the engine of a kind, if there is one."""
    return engines().get(kind)
