"""Packages of the machine's Debian or Ubuntu for a node: unpacked, never installed.

apt verifies them. Their versions are those of the machine's release: one that is pinned disappears from the mirrors
with the next point release. No program that runs a container is among them.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TIMEOUT = 600.0


def unpack(packages: Sequence[str], folder: Path) -> None:
    """Put the files of `packages`, and of all that they depend on, below `folder`."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise SandboxError(
                f"a real node is built with packages of Debian or Ubuntu, and this machine has no {program}:"
                " build it on one of these, or leave out --node real"
            )
    scratch = folder.with_name(f"{folder.name}.packages")
    try:
        _download(packages, scratch)
        for archive in sorted((scratch / "archives").glob("*.deb")):
            _run(["dpkg-deb", "--extract", str(archive), str(folder)])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(packages: Sequence[str], scratch: Path) -> None:
    for name in ("archives/partial", "lists/partial"):
        (scratch / name).mkdir(parents=True)
    options = {
        "Dir::State::status": "/dev/null",  # as if nothing were installed: all dependencies come along
        "Dir::Cache::archives": scratch / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # the scratch folder lets no other user in
        "Debug::NoLocking": "true",  # nothing of the machine's is written
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    download = [*apt, "install", "--download-only", "--yes", *packages]
    done = subprocess.run(download, check=False, capture_output=True, timeout=_TIMEOUT)
    if done.returncode != 0:  # the machine's lists are absent or older than what the mirrors still have
        lists = f"-oDir::State::lists={scratch / 'lists'}"
        _run([*apt, lists, "update"])
        _run([*download, lists])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise SandboxError(f"{command[0]} failed with code {done.returncode}:\n{done.stderr}")
