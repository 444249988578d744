"""What docker compose makes of files: a program around its own library, built once into the cache."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox import build, golang

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["config", "dotenv", "program"]

_MODULE = Path(__file__).with_name("compose-go")
_PATIENCE = 250.0


def dotenv(path: Path) -> dict[str, str]:
    """Read a .env file."""
    found: dict[str, str] = _said("dotenv", [path])
    return found


def config(*paths: Path) -> Any:
    """Hold compose files against the schema, and return the project; this is `docker compose config`."""
    return _said("config", paths)


def _said(what: str, paths: Sequence[Path]) -> Any:
    done = subprocess.run(
        [program(), what, *paths],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=paths[0].parent,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def program() -> Path:
    """Return the program, and build it first where this machine never did."""
    folder = build._cache() / f"compose-{_key()}"
    with build._only_builder(folder):
        if not folder.exists():
            _compile(folder)
    return folder / "compose"


def _key() -> str:
    """Name the folder by all that decides what is built."""
    sources = sorted(_MODULE.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _compile(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        command = [
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags=-s -w",
            "-o",
            str(made / "compose"),
            ".",
        ]
        done = subprocess.run(
            [str(golang.find_go(folder.parent)), *command],
            cwd=_MODULE,
            env=golang.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        made.rename(folder)
