"""Lines of .gitignore that exclude files with secrets from Git."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NAME", "complete", "completed", "lacking"]

NAME: Final = ".gitignore"
_NEW: Final = 0o644
_ALL: Final = b".env.*"
_BUT: Final = b"!.env.example"
_WANTED: Final = (b".env", _ALL, _BUT, b"secrets/")


def lacking(content: bytes) -> tuple[bytes, ...]:
    """Return the lines that are missing, or too early to count: in Git the last match decides."""
    last = {line.rstrip(): number for number, line in enumerate(content.splitlines())}
    absent = {line for line in _WANTED if line not in last}
    if _ALL in absent or last[_ALL] > last.get(_BUT, -1):
        absent.add(_BUT)
    return tuple(line for line in _WANTED if line in absent)


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
