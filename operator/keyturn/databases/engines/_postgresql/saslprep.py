"""SASLprep of RFC 4013, with which clients and servers agree on the bytes of a password before they are hashed."""

from __future__ import annotations

import stringprep
import unicodedata
from contextlib import suppress
from typing import Final

_PROHIBITED: Final = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(password: bytes) -> bytes:
    """Return what PostgreSQL hashes of a password: ASCII, and what SASLprep prohibits, stays as it is."""
    if not password.isascii():
        with suppress(UnicodeDecodeError):
            text = "".join(map(_mapped, password.decode()))
            if _is_permitted(text):
                return unicodedata.normalize("NFKC", text).encode()
    return password


def _mapped(character: str) -> str:
    if stringprep.in_table_c12(character):
        return " "
    return "" if stringprep.in_table_b1(character) else character


def _is_permitted(text: str) -> bool:
    """Whether a text may be normalised; PostgreSQL looks at it before that."""
    if not text or any(is_in(character) for character in text for is_in in _PROHIBITED):
        return False
    is_of_right_to_left = [stringprep.in_table_d1(character) for character in text]
    if not any(is_of_right_to_left):
        return True
    is_mixed = any(map(stringprep.in_table_d2, text))
    return is_of_right_to_left[0] and is_of_right_to_left[-1] and not is_mixed
