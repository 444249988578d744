"""Slices of work on many entries, between which the event loop runs other tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["in_slices"]

_MAX_ENTRIES: Final = 500


async def in_slices(steps: Iterable[int]) -> None:
    """Do all steps, each of which says how many entries it has processed."""
    entries = 0
    for processed in steps:
        entries += processed
        if entries >= _MAX_ENTRIES:
            entries = 0
            await asyncio.sleep(0)
