"""Files of the working tree that would be committed."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .git import Git

LARGEST: Final = 1024 * 1024
_BINARY_WITHIN: Final = 8000  # as in git
_NO_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not block
_SUBMODULE: Final = b"160000"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Files that were not read, with their number."""

    counts: Counter[str] = field(default_factory=Counter)

    def note(self, what: str) -> None:
        self.counts[what] += 1

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))


def paths(git: Git, skipped: Skipped) -> list[bytes]:
    """Return the files that are tracked, or that `git add .` would add."""
    tracked = dict.fromkeys(
        path
        for mode, path in (_entry(line) for line in git.lines("ls-files", "-z", "--stage", end=b"\0"))
        if not _is_submodule(mode, skipped)
    )
    new = git.lines("ls-files", "-z", "--others", "--exclude-standard", end=b"\0")
    return [*tracked, *(path for path in new if not path.endswith(b"/"))]


def files(git: Git, skipped: Skipped) -> Iterator[tuple[bytes, bytes]]:
    """Yield path and content; links, large files and binary files are skipped."""
    top = git.folder.resolve()
    for path in paths(git, skipped):
        content = _read(top, path, skipped)
        if content is None:
            continue
        if is_binary(content):
            skipped.note("binary files")
        else:
            yield path, content


def is_binary(content: bytes) -> bool:
    return b"\0" in content[:_BINARY_WITHIN]


def _entry(line: bytes) -> tuple[bytes, bytes]:
    facts, _, path = line.partition(b"\t")
    return facts.split()[0], path


def _is_submodule(mode: bytes, skipped: Skipped) -> bool:
    if mode == _SUBMODULE:
        skipped.note("submodules, which are repositories of their own")
        return True
    return False


def _read(top: Path, path: bytes, skipped: Skipped) -> bytes | None:
    whole = os.path.join(os.fsencode(top), path)  # noqa: PTH118  # a path of bytes
    try:
        opened = os.open(whole, os.O_RDONLY | _NO_LINK)
    except FileNotFoundError:
        return None  # deleted, and the deletion is not committed
    except OSError:
        skipped.note(_link(top, whole) if os.path.islink(whole) else "files that you may not read")  # noqa: PTH114
        return None
    with os.fdopen(opened, "rb") as file:
        facts = os.fstat(opened)
        if not stat.S_ISREG(facts.st_mode):
            skipped.note("pipes, devices and folders")
            return None
        if facts.st_size > LARGEST:
            skipped.note("files larger than 1 MiB")
            return None
        return file.read(LARGEST)


def _link(top: Path, whole: bytes) -> str:
    inside = os.path.realpath(whole).startswith(os.fsencode(top) + b"/")
    return "links to files of the tree" if inside else "links out of the tree"
