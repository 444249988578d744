"""The image's files as a container has them, in namespaces of this machine: no runtime, and no help from one."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from release.oci import Image

__all__ = ["ACCOUNT", "PYTHON", "Container"]

ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
PYTHON = "/opt/keyturn/bin/python"
_USER = "4711:4711"
"""One that no image and no machine has a name for."""
_SCRIPT = """
set -e
mount --bind "$0" "$0"
mount -t proc -o nosuid,nodev,noexec none "$0/proc"
mount -o remount,bind,ro "$0"
cd "$0"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid "$@"
"""


@dataclass(frozen=True, slots=True)
class Container:
    """A root file system to run programs in: read-only, without rights, as a user without a name."""

    root: Path
    image: Image
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def under(self) -> tuple[str, ...]:
        """Give the command that becomes a program of the image; its mounts end with it."""
        variables = (
            *self.image.config["config"]["Env"],
            *(f"{name}={text}" for name, text in self.env.items()),
        )
        enter = ("unshare", "--mount", "--uts", "--ipc", "sh", "-c", _SCRIPT, str(self.root))
        return ("env", "-i", *variables, *enter, "chroot", f"--userspec={_USER}", "--groups=", ".")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command, or without one what the image starts."""
        about = self.image.config["config"]
        return subprocess.run(
            [*self.under, *(command or (*about["Entrypoint"], *about["Cmd"]))],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def keyturn(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run(*self.image.config["config"]["Entrypoint"], *arguments)

    def python(self, code: str) -> str:
        """Run a few lines that must succeed; return what they print."""
        done = self.run(PYTHON, "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout
