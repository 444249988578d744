"""What goes into the image from the repository, and which commit and time it is from."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Source:
    """The files of an image, as they are now."""

    digest: str
    revision: str | None
    """The last commit that changed one of them; None where there is no history."""
    seconds: int
    """The time of that commit, which every file of the image has."""

    @property
    def created(self) -> str:
        return datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def source(revision: str | None = None) -> Source:
    """Look at them; a revision that is given replaces the one that is found."""
    names = [*_sent(), "Dockerfile", ".dockerignore"]
    found, _, seconds = _git("log", "-1", "--format=%H %ct", "--", *names).partition(" ")
    if found and _git("status", "--porcelain", "--", *names):
        found += "-dirty"
    chosen = os.environ.get("SOURCE_DATE_EPOCH") or seconds or "0"
    return Source(_digest(names), revision or found or None, int(chosen))


def _sent() -> list[str]:
    """Name what the builder gets: .dockerignore lists it, and leaves out all else."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line[1:] for line in lines if line.startswith("!")]


def _digest(names: list[str]) -> str:
    content = hashlib.sha256()
    for path in sorted(path for name in names for path in _files(ROOT / name)):
        file = path.read_bytes()
        content.update(
            f"{path.relative_to(ROOT)} {path.stat().st_mode & 0o111:o} {len(file)}\n".encode() + file
        )
    return content.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for below in path.iterdir() if path.is_dir() else ():
        if below.name != "__pycache__":
            yield from _files(below)


def _git(*arguments: str) -> str:
    """Ask git; where it is missing or this is no checkout, it has nothing to say."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
