"""Precision of times in the API: whole seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["to_second"]


def to_second(time: datetime) -> datetime:
    """Return a time without its fraction of a second, as the API server keeps it."""
    return time.replace(microsecond=0)
