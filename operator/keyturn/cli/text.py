"""Tables and times as text."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.core.times import NOTHING
from keyturn.runtime.invisible_characters import make_visible

from .colours import Shown, is_coloured, painted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_GAP: Final = "   "
_INDENT: Final = "    "
_MIN_LAST_WIDTH: Final = 24
"""Minimum characters of the last column; below that it gets lines of its own."""
_STATES: Final = frozenset({"STATE", "RESULT"})
"""Columns with colours."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> Shown:
    """Align columns as kubectl does; within a `width` the last one wraps, and empty columns are omitted."""
    lines = [_filled(row) for row in rows]
    kept = _kept(header, lines) if width is not None else range(len(header))
    chosen = [[line[place] for place in kept] for line in lines]
    columns = Columns.of([header[place] for place in kept], chosen, width)
    return Shown("\n".join([*columns.header(), *(text for line in chosen for text in columns.row(line))]))


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of the columns, so that later rows align with earlier ones."""

    names: tuple[str, ...]
    widths: tuple[int, ...]
    width: int | None
    """Maximum width of a line."""

    @classmethod
    def of(cls, names: Sequence[str], rows: Iterable[Sequence[str]], width: int | None) -> Columns:
        lines = [tuple(names), *(_filled(row) for row in rows)]
        widths = tuple(max(len(line[place]) for line in lines) for place in range(len(names)))
        return cls(tuple(names), widths, width)

    def header(self) -> list[Shown]:
        return [Shown(line) for line in self._lines(self.names, coloured=False)]

    def row(self, cells: Sequence[str]) -> list[Shown]:
        """Return the lines of a row; the last cell may wrap."""
        return [Shown(line) for line in self._lines(_filled(cells), coloured=is_coloured())]

    def _lines(self, cells: Sequence[str], *, coloured: bool) -> Iterator[str]:
        *before, last = cells
        padded = [cell.ljust(wide) for cell, wide in zip(before, self.widths[:-1], strict=True)]
        start = len(_GAP.join([*padded, ""]))
        shown = [
            painted(cell) if coloured and name in _STATES else cell
            for cell, name in zip(padded, self.names[:-1], strict=True)
        ]
        if coloured and self.names[-1] in _STATES:
            yield _GAP.join([*shown, painted(last)])
            return
        first, *others = _wrapped(last, start, self.width) or [""]
        yield _GAP.join([*shown, first]).rstrip()
        yield from others


def _wrapped(text: str, start: int, width: int | None) -> list[str]:
    """Wrap the last cell; further lines are indented."""
    if width is None or start + len(text) <= width:
        return [text]
    if width - start >= _MIN_LAST_WIDTH:
        first, *others = textwrap.wrap(text, width - start, break_on_hyphens=False)
        return [first, *(" " * start + line for line in others)]
    below = textwrap.wrap(text, max(width - len(_INDENT), _MIN_LAST_WIDTH), break_on_hyphens=False)
    return ["", *(_INDENT + line for line in below)]


def _kept(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    """Return the columns with content in some row; the first one always."""
    return [
        place
        for place in range(len(header))
        if place == 0 or not lines or any(line[place] not in {"", NOTHING} for line in lines)
    ]


def room() -> int | None:
    """Return the width of the terminal; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def listed(names: Iterable[str]) -> str:
    """Join names in order; a text for none."""
    return ", ".join(sorted(names)) or "none"


def in_one_line(text: str) -> str:
    """Escape line ends and invisible characters."""
    return make_visible(text.rstrip("\n").replace("\n", " ").replace("\t", " "))


def _filled(row: Sequence[str]) -> tuple[str, ...]:
    """Fill empty cells except the last, so that columns can be counted."""
    *cells, last = map(in_one_line, row)
    return (*(cell or NOTHING for cell in cells), last)
