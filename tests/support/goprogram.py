"""Go programs of tests, built into the cache once."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from sandbox import cache, golang, parts

__all__ = ["built", "folder_of"]


def built(module: Path, name: str, seconds: float, *, package: str = ".") -> Path:
    """Return a program of the Go module in a folder; where this machine never built it, that may take `seconds`."""
    return folder_of(module, name, seconds, packages=(package,)) / name


def folder_of(
    module: Path, name: str, seconds: float, *, packages: tuple[str, ...], flags: tuple[str, ...] = ()
) -> Path:
    """Return the folder, named after `name`, that holds the program of each package under the name that Go gives."""
    folder = cache.root() / f"{name}-{_key(module)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        with cache.only_builder(folder, name):
            if not folder.exists():
                _compile(folder, module, seconds, *flags, *packages)
    return folder


def _key(module: Path) -> str:
    """Name the folder by all that decides what is built."""
    sources = sorted(module.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _compile(folder: Path, module: Path, seconds: float, *what: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        flags = [*parts.FLAGS, "-ldflags=-s -w", "-o", f"{made}/"]
        go = golang.find_go(folder.parent, parts.go_needed([module]))
        done = subprocess.run(
            [str(go), "build", *flags, *what],
            cwd=module,
            env=golang.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        made.rename(folder)
