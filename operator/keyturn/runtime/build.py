"""Version of Keyturn, and the commit that it is built from.

A wheel has the commit in a file that the build writes (`operator/build_commit.py`, from $KEYTURN_COMMIT or git). For
a checkout it is read from git's files; git itself is never started while Keyturn runs.
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Final

from keyturn import __version__

FILE: Final = "commit.txt"
"""File in the package's folder to which a build writes the commit."""
VARIABLE: Final = "KEYTURN_COMMIT"
_COMMIT: Final = re.compile(r"([0-9a-f]{7,12})[0-9a-f]{0,52}(-dirty)?")
_PACKAGE: Final = Path(__file__).parents[1]


@cache
def commit() -> str:
    """Return up to 12 digits of the commit, with `-dirty` after changes; empty if it is unknown."""
    raw = _read(_PACKAGE / FILE) or os.environ.get(VARIABLE) or _of_checkout(_PACKAGE.parents[1])
    match = _COMMIT.fullmatch(raw.strip())
    return f"{match[1]}{match[2] or ''}" if match else ""


def version() -> str:
    """Return the version with the commit if known, such as `0.1.0 (17cd3115a2b4)`."""
    return f"{__version__} ({commit()})" if commit() else __version__


def user_agent() -> str:
    """Return the User-Agent; the API server uses the part before the slash as default field manager."""
    return f"keyturn/{version()}"


def _of_checkout(root: Path) -> str:
    """Return the commit that is checked out. Source: gitrepository-layout(5)."""
    git = root / ".git"
    if pointer := _read(git):  # a worktree
        git = root / pointer.removeprefix("gitdir:").strip()
    head = _read(git / "HEAD").strip()
    if not head.startswith("ref:"):
        return head
    name = head.removeprefix("ref:").strip()
    common = git / _read(git / "commondir").strip()
    return _read(common / name) or _packed(common, name)


def _packed(git: Path, name: str) -> str:
    lines = (line.split() for line in _read(git / "packed-refs").splitlines())
    return next((line[0] for line in lines if line[1:] == [name]), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
