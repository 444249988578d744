"""Points of the checklist that need a cluster: one module each, found by `runtime.plugins`.

A module has a class below `base.PointCheck` with the point as its `kind`. Shared modules: `base`, and `trouble` for
what cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.core.policy.findings import Point
from keyturn.runtime import plugins

from .base import PointCheck

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["discover"]


def discover() -> Iterable[PointCheck]:
    """Return the checks in the order of the checklist."""
    found = plugins.discover(__name__, PointCheck)  # type: ignore[type-abstract]  # only its subclasses are created
    return [found[point]() for point in Point if point in found]
