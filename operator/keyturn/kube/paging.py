"""Page size of lists: 50 objects at first, and more while answers are small.

A page is bounded by the bytes of its answer, because an object may have some hundred bytes or 1.5 MiB: a larger
answer is not read to its end, and the next request asks for a quarter of the objects.
"""

from __future__ import annotations

from math import inf
from typing import Final

MOST_BYTES: Final = 4 * 1024 * 1024
"""Bytes of JSON; parsed objects take about ten times as much while a page is processed."""
_FIRST: Final = 50


class TooMuch(Exception):  # noqa: N818  # read aloud: "too much"
    """An answer exceeds the bytes that a page may have."""


class PageSize:
    """Adaptive limit of objects per page."""

    def __init__(self, longest: int) -> None:
        self.limit = min(longest, _FIRST)
        self._longest = longest

    @property
    def most(self) -> float:
        """Maximum bytes of the next answer; a single object is not limited."""
        return MOST_BYTES if self.limit > 1 else inf

    def took(self, size: int) -> None:
        """Record the bytes of an answer: objects of the same size are to take half of a page at most."""
        times = next((times for times in (4, 2) if size * times < MOST_BYTES / 2), 1)
        self.limit = min(times * self.limit, self._longest)

    def was_too_much(self) -> None:
        """Record that an answer was too large."""
        self.limit = max(self.limit // 4, 1)
