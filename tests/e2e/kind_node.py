"""The node of a cluster of kind, with what the tests of this folder ask of a real node of the sandbox."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_kind import KindCluster

from sandbox import SandboxError, kind
from sandbox.node import images

_TIMEOUT = 300.0


@dataclass(frozen=True, slots=True)
class KindNode:
    """The only node, which is a container of this machine."""

    cluster: KindCluster
    app: str = "/usr/local/bin/keyturn-app"
    """The application as a program in the node."""
    fetch: tuple[str, ...] = ("curl", "--silent", "--fail", "--max-time", "20")
    """The command that writes out what the address after it answers."""

    @property
    def name(self) -> str:
        return f"{self.cluster.name}-control-plane"

    def prepare(self, archives: Sequence[Path]) -> None:
        """Give it the images of archives, and the application as a program."""
        for archive in archives:
            self.import_image(archive)
        _run([kind.engine(), "cp", str(images.ensure().app), f"{self.name}:{self.app}"])

    def command(self, *command: str | Path) -> list[str]:
        """Return `command` so that it runs in the node, where addresses of pods and Services work."""
        return [kind.engine(), "exec", self.name, *map(str, command)]

    def import_image(self, archive: Path) -> None:
        _run([self.cluster.kind_path, "load", "image-archive", f"--name={self.cluster.name}", archive])

    def tag(self, image: str, tag: str) -> str:
        """Give an image of the node another tag beside its own; returns the new name."""
        other = f"{image.rpartition(':')[0]}:{tag}"
        _run(self.command("ctr", "--namespace=k8s.io", "images", "tag", "--force", image, other))
        return other


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise SandboxError(f"{command[0]} {command[1]} failed: {done.stderr.strip()[-500:]}")
