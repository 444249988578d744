"""How tables and times are written for people."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from keyturn.core.times import NOTHING, clock, length, since, until
from keyturn.letters import seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["NOTHING", "clock", "in_one_line", "length", "listed", "room", "since", "table", "until"]

_GAP = "   "


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> str:
    """Align columns as kubectl does; only the last one is cut, and only where a `width` is given."""
    lines = [tuple(header), *(_filled(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    return "\n".join(_line(line, widths, width) for line in lines)


def room() -> int | None:
    """Return how wide a line may be: a terminal would wrap it, and a file or a pipe wants all of it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def listed(names: Iterable[str]) -> str:
    """Write names in order, or that there is none."""
    return ", ".join(sorted(names)) or "none"


def in_one_line(text: str) -> str:
    """Let nothing in a text end its line, or be wider or other than it looks."""
    return seen(text.rstrip("\n").replace("\n", " ").replace("\t", " "))


def _filled(row: Sequence[str]) -> tuple[str, ...]:
    """Let no cell be empty but the last one, so that columns can be counted."""
    *cells, last = map(in_one_line, row)
    return (*(cell or NOTHING for cell in cells), last)


def _line(cells: Sequence[str], widths: Sequence[int], width: int | None) -> str:
    padded = (cell.ljust(wide) for cell, wide in zip(cells[:-1], widths[:-1], strict=True))
    line = _GAP.join([*padded, cells[-1]]).rstrip()
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"
