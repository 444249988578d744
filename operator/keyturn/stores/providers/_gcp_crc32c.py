"""CRC-32C (Castagnoli), which Google Cloud sends with each secret version."""

from __future__ import annotations

import functools
from typing import Final

__all__ = ["of"]

_POLYNOMIAL: Final = 0x82F63B78
"""Reversed polynomial, RFC 3720 section 12.1."""
_ALL: Final = 0xFFFFFFFF


def of(content: bytes) -> int:
    table, rest = _table(), _ALL
    for byte in content:
        rest = table[(rest ^ byte) & 0xFF] ^ (rest >> 8)
    return rest ^ _ALL


@functools.cache
def _table() -> tuple[int, ...]:
    return tuple(_entry(byte) for byte in range(256))


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte
