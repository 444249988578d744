"""How tables and times are written for people."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime, timedelta

__all__ = ["NOTHING", "clock", "length", "listed", "room", "since", "table", "until"]

NOTHING = "-"
_GAP = "   "
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_TELLS_BY_ITSELF = {"d": 8, "h": 8, "m": 10, "s": 0}
"""From how many of a unit on the next smaller one says nothing more."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Align columns as kubectl does; only the last one is cut, and only where a `width` is given."""
    lines = [tuple(header), *(_filled(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join(_line(line, widths, width) for line in lines)


def room() -> int | None:
    """Return how wide a line may be: a terminal would wrap it, and a file or a pipe wants all of it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def length(time: timedelta) -> str:
    """Write how long something is in one or two units, such as 45s, 3h20m or 89d."""
    rest, counts = max(0, int(time.total_seconds())), []
    for unit, seconds in _UNITS:
        count, rest = divmod(rest, seconds)
        counts.append((count, unit))
    first = next((place for place, (count, _) in enumerate(counts) if count), len(counts) - 1)
    (count, unit), *smaller = counts[first:]
    more = "".join(f"{one}{name}" for one, name in smaller[:1] if one and count < _TELLS_BY_ITSELF[unit])
    return f"{count}{unit}{more}"


def since(time: datetime | None, now: datetime) -> str:
    """Write how long ago something was."""
    return NOTHING if time is None else length(now - time)


def until(time: datetime | None, now: datetime) -> str:
    """Write in how long something comes, or how late it is."""
    if time is None:
        return NOTHING
    return f"in {length(time - now)}" if time >= now else f"{length(now - time)} late"


def clock(time: datetime) -> str:
    """Write a point in time so that it can be compared with logs."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def listed(names: Iterable[str]) -> str:
    """Write names in order, or that there is none."""
    return ", ".join(sorted(names)) or "none"


def _filled(row: Sequence[str]) -> tuple[str, ...]:
    """Let no cell be empty but the last one, so that columns can be counted."""
    *cells, last = row
    return (*(cell or NOTHING for cell in cells), last)


def _line(cells: Sequence[str], widths: Sequence[int], width: int | None) -> str:
    padded = (cell.ljust(wide) for cell, wide in zip(cells[:-1], widths[:-1], strict=True))
    line = _GAP.join([*padded, cells[-1]]).rstrip()
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"
