"""Which lines of .gitignore keep the files with secrets out of Git."""

from __future__ import annotations

from typing import Final

__all__ = ["completed", "lacking"]

_ALL: Final = b".env.*"
_BUT: Final = b"!.env.example"
_WANTED: Final = (b".env", _ALL, _BUT, b"secrets/")


def lacking(content: bytes) -> tuple[bytes, ...]:
    """Return the lines that are not there, or come too early to count: in Git the last one that fits decides."""
    last = {line.rstrip(): number for number, line in enumerate(content.splitlines())}
    absent = {line for line in _WANTED if line not in last}
    if _ALL in absent or last[_ALL] > last.get(_BUT, -1):
        absent.add(_BUT)
    return tuple(line for line in _WANTED if line in absent)


def completed(content: bytes) -> bytes:
    """Add the lines that are lacking, each once; everything else stays."""
    added = lacking(content)
    if not added:
        return content
    newline = b"\r\n" if b"\r\n" in content else b"\n"
    gap = newline if content and not content.endswith((b"\n", b"\r")) else b""
    return content + gap + b"".join(line + newline for line in added)
