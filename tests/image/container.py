"""The image as the tests have it: its archive read, and its files run in namespaces of this machine."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self, cast

from release.image import NAMES, blob_path


@dataclass(frozen=True, slots=True)
class Image:
    """The one image of an archive."""

    archive: Path
    name: str
    digest: str
    """Of its manifest: what a registry knows it by."""
    manifest: dict[str, Any]
    config: dict[str, Any]

    @classmethod
    def read(cls, archive: Path) -> Image:
        with tarfile.open(archive) as opened:
            (entry,) = _json(opened, "index.json")["manifests"]
            manifest = _json(opened, blob_path(entry["digest"]))
            config = _json(opened, blob_path(manifest["config"]["digest"]))
        return cls(archive, entry["annotations"][NAMES[0]], entry["digest"], manifest, config)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config["config"]["Labels"])

    @property
    def size(self) -> int:
        """How many bytes a node fetches."""
        return sum(layer["size"] for layer in self.manifest["layers"])

    def entries(self) -> Iterator[tarfile.TarInfo]:
        """Yield what its layers add, from the lowest on."""
        for layer in self._layers():
            yield from layer

    def unpack(self, into: Path) -> None:
        """Write its files into a folder, as a node does before it starts a container."""
        for layer in self._layers():
            layer.extractall(into, filter="tar")

    def _layers(self) -> Iterator[tarfile.TarFile]:
        with tarfile.open(self.archive) as opened:
            for layer in self.manifest["layers"]:
                content = gzip.decompress(_read(opened, blob_path(layer["digest"])))
                with tarfile.open(fileobj=io.BytesIO(content)) as unpacked:
                    yield unpacked


def _json(opened: tarfile.TarFile, name: str) -> dict[str, Any]:
    return dict(json.loads(_read(opened, name)))


def _read(opened: tarfile.TarFile, name: str) -> bytes:
    return cast("IO[bytes]", opened.extractfile(name)).read()


PYTHON: Final = "/opt/keyturn/bin/python"
_USER: Final = "4711:4711"
"""One that no image and no machine has a name for."""
_SCRIPT: Final = """
set -e
mount --bind "$0" "$0"
mount -t proc -o nosuid,nodev,noexec none "$0/proc"
mount -o remount,bind,ro "$0"
cd "$0"
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid "$@"
"""


@dataclass(frozen=True, slots=True)
class Container:
    """A root file system to run programs in: read-only, without rights, as a user without a name. It needs root."""

    root: Path
    image: Image
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def unpack(cls, image: Image, root: Path) -> Self:
        """Write the files of an image into an empty folder."""
        root.chmod(0o755)
        image.unpack(root)
        return cls(root, image)

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
        """Run a few lines; return what they print.

        Raises:
            AssertionError: They failed; the message has what they say.
        """
        done = self.run(PYTHON, "-c", code)
        if done.returncode:
            raise AssertionError(f"in the image: {done.stderr.strip()}")
        return done.stdout
