"""Programs that tests are judged by: built from a Go module beside them, once into the cache."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from sandbox import build, golang

__all__ = ["built"]


def built(module: Path, name: str, seconds: float, *, package: str = ".") -> Path:
    """Return a program of the Go module in a folder; where this machine never built it, that may take `seconds`."""
    folder = build._cache() / f"{name}-{_key(module)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with build._only_builder(folder):
        if not folder.exists():
            _compile(folder, module, name, package, seconds)
    return folder / name


def _key(module: Path) -> str:
    """Name the folder by all that decides what is built."""
    sources = sorted(module.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _compile(folder: Path, module: Path, name: str, package: str, seconds: float) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        command = ["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made / name), package]
        done = subprocess.run(
            [str(golang.find_go(folder.parent)), *command],
            cwd=module,
            env=golang.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        made.rename(folder)
