"""buildah, which builds the image: found or installed, and run so that it leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import ReleaseError

_PATIENCE: Final = 900.0
_ENDS_WITH_US: Final = (
    *("setpriv", "--pdeathsig", "KILL"),
    # Its mounts are in a namespace of their own, and end with its first process.
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah with a folder of its own for images and layers."""

    storage: Path
    scratch: Path

    def __call__(self, *arguments: str | Path) -> str:
        """Run it; return what it prints."""
        folders = [f"--root={self.storage}", f"--runroot={self.scratch / 'run'}"]
        done = subprocess.run(
            [*_ENDS_WITH_US, "buildah", *folders, f"--storage-driver={_driver()}", *map(str, arguments)],
            env={**os.environ, "TMPDIR": str(self.scratch)},
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        if done.returncode != 0:
            raise ReleaseError(f"buildah {arguments[0]} failed:\n{done.stderr[-3000:]}")
        return done.stdout.strip()


def ready() -> None:
    """See that it is there, and install it where we may.

    Raises:
        ReleaseError: It cannot be had here.
    """
    if os.geteuid() != 0:
        raise ReleaseError(
            "the image is built as root, since its build stage runs in a root of its own: use sudo"
        )
    if shutil.which("buildah"):
        return
    if not shutil.which("apt-get"):
        raise ReleaseError("buildah builds the image, and is missing here: install the package buildah")
    print("release: installing buildah, once", file=sys.stderr, flush=True)
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "buildah"]):
        done = subprocess.run(
            ["apt-get", "--quiet=2", *command],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        if done.returncode != 0:
            raise ReleaseError(f"buildah cannot be installed:\n{done.stderr[-2000:]}")


def _driver() -> str:
    """Name how layers are kept: where overlays are missing, each is a whole copy."""
    filesystems = Path("/proc/filesystems").read_text()
    return "overlay" if "\toverlay\n" in filesystems else "vfs"
