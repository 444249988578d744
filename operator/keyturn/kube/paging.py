"""How many objects a page of a list holds: few at first, and more as long as the answers are small.

A page is bounded by the bytes of its answer, since an object may have some hundred bytes or a mebibyte and a half:
an answer that is larger is not read to its end, and fewer objects are asked for.
"""

from __future__ import annotations

from math import inf
from typing import Final

__all__ = ["MOST_BYTES", "Pace", "TooMuch"]

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of JSON, whose objects take some ten times as much while a page is looked at."""
_FIRST: Final = 50


class TooMuch(Exception):  # noqa: N818  # read aloud: "too much"
    """An answer has more bytes than was asked for."""


class Pace:
    """The number of objects that the next page asks for."""

    def __init__(self, longest: int) -> None:
        self.limit = min(longest, _FIRST)
        self._longest = longest

    @property
    def most(self) -> float:
        """How many bytes the next answer may have; one object is taken as it is."""
        return MOST_BYTES if self.limit > 1 else inf

    def took(self, size: int) -> None:
        """Take in how many bytes an answer had."""
        if size < MOST_BYTES / 4:
            self.limit = min(2 * self.limit, self._longest)

    def was_too_much(self) -> None:
        """Take in that an answer was not read to its end."""
        self.limit = max(self.limit // 4, 1)
