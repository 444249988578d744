"""Characters that a terminal does not show as written, and their escapes."""

import re
from typing import Final

_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters except tab and newline
    "\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, direction, line separators
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # letters without a glyph
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2"  # marks that enclose what follows
    "\ud800-\udfff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"  # tags and variation selectors, which can hide whole texts
)
"""Characters that a terminal interprets or does not show.

Unicode categories Cc, Cf, Cs, Zl and Zp, and Default_Ignorable_Code_Point, except the variation selectors of emoji.
"""
_BASIC: Final = 0xFFFF


def make_visible(text: str) -> str:
    """Replace invisible characters by JSON escapes."""
    return _INVISIBLE.sub(lambda match: _escape(match[0]), text)


def is_visible(text: str) -> bool:
    """Whether a text has no invisible characters."""
    return _INVISIBLE.search(text) is None


def _escape(letter: str) -> str:
    if ord(letter) <= _BASIC:
        return f"\\u{ord(letter):04x}"
    high, low = divmod(ord(letter) - _BASIC - 1, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
