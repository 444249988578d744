"""Benchmarks of a busy operator: how long a new object of another tenant waits until it is Ready.

Modules
    newcomers             objects that are created while the operator has work, and how long each waits
    loads                 the work: many new objects, a slow store, hostile stores, many rotations
    hostile               stores that answer as badly as they can
"""

from __future__ import annotations

from .loads import LOADS

__all__ = ["LOADS"]
