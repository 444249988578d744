"""Colours of states in tables on a terminal."""

from __future__ import annotations

import os
import sys
from types import MappingProxyType
from typing import Final

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
