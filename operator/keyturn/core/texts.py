"""Lists in messages: the first few, and how many others there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["and_more", "first_of"]


def first_of(names: Sequence[str], limit: int) -> str:
    """Return the first `limit` names and the number of the others, such as `a, b and 3 more`."""
    return ", ".join(names[:limit]) + and_more(len(names) - limit)


def and_more(others: int) -> str:
    """Return the number of those that are not named, such as ` and 3 more`; empty if there is none."""
    return f" and {others} more" if others > 0 else ""
