"""Lines of .gitignore that exclude files with secrets from Git."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING, Final

from . import files
from .declaration import ENVIRONMENTS, EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["NAME", "complete", "completed", "flaws", "lacking"]

NAME: Final = ".gitignore"
_NEW: Final = 0o644
_ALL: Final = b".env.*"
_BUT: Final = f"!{EXAMPLE}".encode()
_WRITTEN: Final = {
    b".env": (b".env",),
    _ALL: tuple(f".env.{name}".encode() for name in ENVIRONMENTS),
    b"secrets/": (b"secrets/",),
}
"""What each line excludes of what Keyturn writes; a folder ends in a slash."""
_WANTED: Final = (b".env", _ALL, _BUT, b"secrets/")


def lacking(content: bytes) -> tuple[bytes, ...]:
    """Return the lines that are missing, or too early to count: in Git the last match decides."""
    lines = [line.rstrip() for line in content.splitlines()]
    absent = {line for line in _WANTED if line not in lines}
    absent |= {
        line for line, written in _WRITTEN.items() if any(_readmitting(lines, name) for name in written)
    }
    if _ALL in absent or _is_excluded(lines, EXAMPLE.encode()):
        absent.add(_BUT)
    return tuple(line for line in _WANTED if line in absent)


def flaws(content: bytes) -> Iterator[str]:
    """Yield what is wrong, with a remedy."""
    lines = [line.rstrip() for line in content.splitlines()]
    readmitted = {
        number for names in _WRITTEN.values() for name in names if (number := _readmitting(lines, name))
    }
    for number in sorted(readmitted):
        yield f"line {number}, {lines[number - 1].decode(errors='replace')}, lets Git commit secrets; remove it"
    for line in lacking(content):
        if line not in lines or not readmitted:
            yield f"lacks the line {line.decode()}"


def completed(content: bytes) -> bytes:
    """Append the missing lines once each; everything else stays."""
    added = lacking(content)
    if not added:
        return content
    newline = b"\r\n" if b"\r\n" in content else b"\n"
    gap = newline if content and not content.endswith((b"\n", b"\r")) else b""
    return content + gap + b"".join(line + newline for line in added)


def complete(folder: Path) -> tuple[bytes, ...]:
    """Append the missing lines to a folder's .gitignore and return them; its mode stays."""
    path = folder / NAME
    content = files.read(path)
    added = lacking(content or b"")
    if added:
        mode = _NEW if content is None else path.stat().st_mode & 0o777
        files.write(path, completed(content or b""), instead_of=content, mode=mode)
    return added


def _readmitting(lines: list[bytes], name: bytes) -> int:
    """Return the number of the line by which Git includes a file or folder again; 0 without one."""
    number = _last_match(lines, name)
    return number if number and lines[number - 1].startswith(b"!") else 0


def _is_excluded(lines: list[bytes], name: bytes) -> bool:
    number = _last_match(lines, name)
    return bool(number) and not lines[number - 1].startswith(b"!")


def _last_match(lines: list[bytes], name: bytes) -> int:
    return max(
        (number for number, line in enumerate(lines, 1) if _matches(line.removeprefix(b"!"), name)), default=0
    )


def _matches(pattern: bytes, name: bytes) -> bool:
    """Whether a pattern of .gitignore matches a file or folder beside it."""
    if pattern.startswith(b"#") or (pattern.endswith(b"/") and not name.endswith(b"/")):
        return False
    pattern = (
        pattern.rstrip(b"/").removeprefix(b"/").removeprefix(b"**/").replace(b"[^", b"[!").replace(b"\\", b"")
    )
    return fnmatch.fnmatchcase(name.rstrip(b"/"), pattern)
