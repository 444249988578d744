"""Prints results as text, tables, JSON or YAML, with control and invisible characters escaped."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import click

from keyturn.core.times import NOTHING
from keyturn.runtime.invisible_characters import make_visible

if TYPE_CHECKING:
    from .options import Output

_RED, _GREEN, _YELLOW, _CYAN = 31, 32, 33, 36
_BY_COLOUR: Final = {
    _RED: ("Failed", "Stalled", "Overdue", "Unseen", "NotReady", "CrdOutdated", "RolledBack"),
    _YELLOW: ("Behind", "NotSynced", "NotCompliant", "Suspended", "Held", "Pending", "Superseded", "Deleted"),
    _CYAN: ("Rotating", "Overlapping", "Due", "Rolling", "Running"),
    _GREEN: ("Ready", "Current", "Reloaded", "Succeeded", "RolledOut"),
}
_COLOURS: Final = MappingProxyType({word: code for code, words in _BY_COLOUR.items() for word in words})


class Shown(str):
    """Text that is printed unchanged: escaped before, and with no escape sequences but our colours."""

    __slots__ = ()


def is_coloured() -> bool:
    """Whether standard output has colours: see https://no-color.org, and TERM=dumb."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(cell: str) -> str:
    """Colour a cell with the word of a state, padded or not; return any other unchanged."""
    code = _COLOURS.get(cell.rstrip())
    return f"\x1b[{code}m{cell}\x1b[0m" if code else cell


# Tables and times as text

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


# Output

_WRITE_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def print_data(document: Mapping[str, Any], output: Output) -> None:
    """Print a document as JSON, or as YAML with the same content."""
    if output == "yaml":
        import orjson  # noqa: PLC0415

        from keyturn.runtime import yaml_text  # noqa: PLC0415

        # By way of JSON, for equal times; YAML escapes invisible characters.
        click.echo(yaml_text.dump(orjson.loads(_json(document)), width=1000), nl=False)
    else:
        print_json(document)


def print_json(document: Mapping[str, Any]) -> None:
    """Print a document with times in UTC and whole seconds."""
    print_document(f"{_json(document).decode()}\n")


def print_names(names: Iterable[str], kind: str = "managedsecret") -> None:
    """Print objects as `kubectl get -o name` does, for use in shells."""
    print_lines(*(f"{kind}.keyturn.dev/{name}" for name in names))


def print_lines(*lines: str, err: bool = False) -> None:
    if lines:
        click.echo(
            "\n".join(line if isinstance(line, Shown) else make_visible(line) for line in lines), err=err
        )


def print_document(text: str) -> None:
    """Print a text with its own line ends."""
    click.echo(make_visible(text), nl=False)


def output_failure(error: OSError) -> click.ClickException | None:
    """Return the message of a failed write to standard output, whose buffer is discarded; None of another error."""
    if error.filename is not None or error.errno not in _WRITE_ERRORS:
        return None
    # Python would write the buffer at its end, and fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return click.ClickException(f"the output cannot be written: {error.strerror}")


def _json(document: Mapping[str, Any]) -> bytes:
    import orjson  # noqa: PLC0415  # every command prints lines, few of them JSON

    look = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS
    return orjson.dumps(document, option=look)
