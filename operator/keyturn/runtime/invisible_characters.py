"""Which letters a terminal does not show as they are written, and how they are written instead."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_visible", "make_visible"]

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and newline
    "\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # of no width, of direction, line ends
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # letters without a form
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2"  # signs that enclose what follows
    "\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"  # tags and variants, in which whole texts can be hidden
)
"""What a terminal obeys or does not show, so that a line reads other than it is written.

They are Unicode's categories Cc, Cf, Cs, Zl and Zp, and its Default_Ignorable_Code_Point but the variants of emoji.
"""
_BASIC: Final = 0xFFFF


def make_visible(text: str) -> str:
    """Write what cannot be seen as the escapes of JSON, and leave the rest as it is."""
    return _UNSEEN.sub(lambda found: _escaped(found[0]), text)


def is_visible(text: str) -> bool:
    """Say whether nothing in a text is hidden."""
    return _UNSEEN.search(text) is None


def _escaped(letter: str) -> str:
    if ord(letter) <= _BASIC:
        return f"\\u{ord(letter):04x}"
    high, low = divmod(ord(letter) - _BASIC - 1, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
