"""Which platforms a compiled file is made for, by its first bytes.

Source: elf(5); Apple, "Mach-O" headers (`mach-o/loader.h`, `mach-o/fat.h`).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["built_for"]

_ELF = {62: "amd64", 183: "arm64"}
_MACH = {0x01000007: "amd64", 0x0100000C: "arm64"}


def built_for(path: Path) -> set[tuple[str, str]]:
    """Name the systems and architectures, in the words of Go."""
    start = path.read_bytes()[:4096]
    if start.startswith(b"\x7fELF"):
        return {("linux", _ELF[struct.unpack_from("<H", start, 18)[0]])}
    if start.startswith(b"\xcf\xfa\xed\xfe"):
        return {("darwin", _MACH[struct.unpack_from("<I", start, 4)[0]])}
    assert start.startswith(b"\xca\xfe\xba\xbe"), f"{path} is compiled for something else"
    (count,) = struct.unpack_from(">I", start, 4)
    return {("darwin", _MACH[struct.unpack_from(">I", start, 8 + 20 * number)[0]]) for number in range(count)}
