"""Lines of .gitignore that exclude files with secrets from Git."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import files
from .declaration import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME: Final = ".gitignore"
_NEW: Final = 0o644
_ALL: Final = b".env.*"
_BUT: Final = f"!{EXAMPLE}".encode()
_WANTED: Final = (b".env", _ALL, _BUT, b"secrets/")


def flaws(content: bytes) -> Iterator[str]:
    """Yield what is wrong, with a remedy."""
    lines = _lines(content)
    for number in _undoing(lines):
        text = lines[number].decode(errors="replace")
        yield f"line {number + 1}, {text}, may let Git commit secrets: move it above .env"
    yield from (f"lacks the line {line.decode()}" for line in _WANTED if line not in lines)


def complete(folder: Path) -> tuple[bytes, ...]:
    """Append the missing lines to a folder's .gitignore, or all after a line that may undo them; return them."""
    path = folder / NAME
    content = files.read(path)
    added = _lacking(_lines(content or b""))
    if added:
        old, mode = content or b"", _NEW if content is None else path.stat().st_mode & 0o777
        newline = b"\r\n" if b"\r\n" in old else b"\n"
        gap = newline if old and not old.endswith((b"\n", b"\r")) else b""
        text = old + gap + b"".join(line + newline for line in added)
        files.write(path, text, instead_of=content, mode=mode)
    return added


def _lines(content: bytes) -> list[bytes]:
    return [line.rstrip() for line in content.splitlines()]


def _lacking(lines: list[bytes]) -> tuple[bytes, ...]:
    """Return the lines that are missing, or too early to count: in Git the last match decides."""
    if _undoing(lines):
        return _WANTED
    absent = {line for line in _WANTED if line not in lines}
    if _ALL in absent or _last(lines, _BUT) < _last(lines, _ALL):
        absent.add(_BUT)
    return tuple(line for line in _WANTED if line in absent)


def _undoing(lines: list[bytes]) -> list[int]:
    """Return the places of patterns that may include such a file again, after the lines that exclude it."""
    begin = min(_last(lines, line) for line in _WANTED if line != _BUT)
    return [
        number
        for number, line in enumerate(lines)
        if number > begin >= 0
        and line.startswith(b"!")
        and line != _BUT
        and any(part in line for part in (b"env", b"secret", b"*", b"?"))
    ]


def _last(lines: list[bytes], line: bytes) -> int:
    return max((number for number, one in enumerate(lines) if one == line), default=-1)
