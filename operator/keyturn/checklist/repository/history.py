"""Additions of all commits, parsed once from `git log`, the newest first."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .git import Git

_LOG: Final = (
    *("log", "--all", "--stdin", "--patch", "--cc", "--unified=0", "--full-index", "--no-renames", "--root"),
    *("--no-ext-diff", "--no-textconv", "--no-color", "--no-notes", "--no-decorate", "--no-show-signature"),
    *("--src-prefix=", "--dst-prefix=", "--submodule=short", "--ignore-submodules=none"),
    "--format=commit %H",
)
_STASH: Final = "refs/stash"
_COMMIT: Final = re.compile(rb"commit ([0-9a-f]{40,64})\n")
_FILE: Final = re.compile(rb"diff --(git|cc|combined) (.*)\n", re.DOTALL)
_INDEX: Final = re.compile(rb"index [0-9a-f,]+\.\.([0-9a-f]{40,64})")
_HUNK: Final = re.compile(rb"(@{2,}) ((?:-\d+(?:,\d+)? )+)\+(\d+)(?:,(\d+))? @+")
_ESCAPES: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_MAX_LINE_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class Progress:
    """Progress of the read."""

    commits: int = 0
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """Additions of a commit in one hunk of a file; no text if git treats the file as binary."""

    commit: str
    path: bytes
    blob: str
    line: int
    text: str | None


@dataclass(slots=True)
class _Place:
    """Position in the log."""

    commit: str = ""
    path: bytes = b""
    blob: str = ""
    observed: set[tuple[bytes, bytes]] = field(default_factory=set)
    """Pairs of versions of a file; the later version alone does not tell what it adds."""
    is_known: bool = False


def stashes(git: Git) -> bytes:
    """Return the commits of all stashes by line; a reference leads to the last one only."""
    if _STASH.encode() not in git.lines("for-each-ref", "--format=%(refname)", _STASH):
        return b""
    return b"".join(b"%s\n" % one for one in git.lines("rev-list", "--walk-reflogs", _STASH))


def count(git: Git, more: bytes) -> int:
    """Return the number of commits that references and `more` reach."""
    return int((git.lines("rev-list", "--all", "--stdin", "--count", given=more) or [b"0"])[0])


def added(git: Git, more: bytes, progress: Progress) -> Iterator[Added]:
    """Yield the additions in the commits that references and `more` reach, each pair of versions of a file once."""
    with git.stream(*_LOG, given=more) as log:
        yield from _read(log, progress)


def _read(log: IO[bytes], progress: Progress) -> Iterator[Added]:
    place = _Place()
    while line := log.readline(_MAX_LINE_BYTES):
        if found := _COMMIT.fullmatch(line):
            progress.commits += 1
            place.commit = found[1].decode()
        elif found := _FILE.fullmatch(line):
            place.path, place.blob, place.is_known = _path(found), "", False
        elif found := _INDEX.match(line):
            place.blob = found[1].decode()
            place.is_known = (place.path, found[0]) in place.observed
            place.observed.add((place.path, found[0]))
        elif found := _HUNK.match(line):
            text = _hunk(log, found)
            if not place.is_known and text:
                yield Added(place.commit, place.path, place.blob, int(found[3]), text)
        elif line.startswith(b"Binary files ") and not place.is_known:
            yield Added(place.commit, place.path, place.blob, 0, None)


def _path(found: re.Match[bytes]) -> bytes:
    """Return the path of a header; without renames it appears twice, with a blank between."""
    path = found[2] if found[1] != b"git" else found[2][: len(found[2]) // 2]
    if not path.startswith(b'"'):
        return path
    return re.sub(rb"\\([0-7]{3}|.)", _unescaped, path[1:-1])


def _unescaped(found: re.Match[bytes]) -> bytes:
    escape = found[1]
    return bytes([int(escape, 8) & 0xFF]) if escape.isdigit() else _ESCAPES.get(escape, escape)


def _hunk(log: IO[bytes], header: re.Match[bytes]) -> str:
    """Read a hunk by the line counts of its header, so that no content can pass for a header.

    In a merge only lines that no parent has count.
    """
    parents = len(header[1]) - 1
    ours, theirs = int(header[4] or 1), [_length(part) for part in header[2].split()]
    lines: list[bytes] = []
    while ours > 0 or any(left > 0 for left in theirs):
        line = _line(log)
        if not line:
            break
        marks = line[:parents]
        if line.startswith(b"\\"):
            continue
        if b"-" in marks:
            theirs = [left - (mark == ord("-")) for left, mark in zip(theirs, marks, strict=False)]
            continue
        ours -= 1
        theirs = [left - (mark == ord(" ")) for left, mark in zip(theirs, marks, strict=False)]
        if b" " not in marks:
            lines.append(line[parents:])
    return b"".join(lines).decode("utf-8", "replace").replace("\r\n", "\n")


def _line(log: IO[bytes]) -> bytes:
    """Read a line; of a very long one its start."""
    line = log.readline(_MAX_LINE_BYTES)
    rest = line
    while rest and not rest.endswith(b"\n"):
        rest = log.readline(_MAX_LINE_BYTES)
    return line


def _length(part: bytes) -> int:
    return int(part.partition(b",")[2] or 1)
