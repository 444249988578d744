"""Exponential back-off: the one formula for the pause after failures in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from datetime import timedelta

_MAX_DOUBLINGS = 16
"""Beyond it a pause would overflow after days of failures."""

T = TypeVar("T", float, "timedelta")


def backoff(first: T, attempts: int, longest: T) -> T:
    """Return the pause after failures in a row: `first`, doubled with each further one, at most `longest`."""
    return min(first * 2.0 ** min(max(attempts - 1, 0), _MAX_DOUBLINGS), longest)
