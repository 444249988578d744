"""Which packages of Debian a base consists of, and their archives, fetched by apt with its signatures checked.

apt works in a folder of its own: nothing of the machine's packages is read or changed, and no root is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from .errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUITE: Final = "trixie"
_MIRROR: Final = "DEBIAN_MIRROR"
"""The variable that names a mirror where apt of this machine has none, as on Ubuntu."""
_SUITES: Final = (f"debian {SUITE}", f"debian {SUITE}-updates", f"debian-security {SUITE}-security")
_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATIENCE: Final = 300.0
_NEEDED: Final = ("apt-get", "dpkg-deb")


@dataclass(frozen=True)
class Package:
    """One package, as the archive that Debian serves."""

    archive: Path

    @cached_property
    def control(self) -> str:
        """What Debian says of it: name, version, dependencies."""
        return _output(["dpkg-deb", "--field", str(self.archive)])

    @property
    def name(self) -> str:
        return self.field("Package")

    def field(self, name: str) -> str:
        found = re.search(rf"^{name}: (.*)$", self.control, re.MULTILINE)
        if not found:
            raise ReleaseError(f"{self.archive.name} has no field {name}")
        return found[1]

    @contextmanager
    def files(self) -> Iterator[IO[bytes]]:
        """Read its files, as a tar archive."""
        command = ["dpkg-deb", "--fsys-tarfile", str(self.archive)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
            output = cast("IO[bytes]", reader.stdout)
            yield output
            output.read()  # a tar archive ends before its padding does
        if reader.returncode != 0:
            raise ReleaseError(f"{self.archive.name} cannot be unpacked")


def fetch(names: Sequence[str], folder: Path) -> list[Package]:
    """Fetch the newest version of each package into a folder; they are returned by name."""
    if missing := [program for program in _NEEDED if shutil.which(program) is None]:
        raise ReleaseError(
            f"a base is made of Debian's packages, and {' and '.join(missing)} is missing here: use a machine with "
            "Debian or Ubuntu, or build from a registry's bases (docs/image.md)"
        )
    if not _KEYS.exists():
        raise ReleaseError(f"{_KEYS} is missing: install the package debian-archive-keyring")
    apt = ["apt-get", "--quiet=2", *_private(folder)]
    _output([*apt, "update"])
    archives = folder / "archives"
    archives.mkdir()
    _output([*apt, "download", *names], archives)
    return sorted(map(Package, archives.glob("*.deb")), key=lambda package: package.name)


def _mirror() -> str:
    """Return the mirror that apt of this machine uses for Debian: below it are `debian` and `debian-security`."""
    if named := os.environ.get(_MIRROR):
        return named.rstrip("/")
    command = ["apt-get", "indextargets", "--format=$(REPO_URI)"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_PATIENCE)
    found = re.search(r"^(\S+)/debian/?$", done.stdout, re.MULTILINE)
    if found is None:
        raise ReleaseError(f"apt of this machine knows no mirror of Debian; name one: {_MIRROR}=http://HOST")
    return found[1]


def _private(folder: Path) -> Iterator[str]:
    sources = folder / "sources.list"
    mirror = _mirror()
    lines = (f"deb [signed-by={_KEYS}] {mirror}/{suite} main\n" for suite in _SUITES)
    sources.write_text("".join(lines))
    (folder / "status").touch()
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        "Acquire::Retries": "3",
    }
    for name, value in settings.items():
        yield f"--option={name}={value}"


def _output(command: Sequence[str], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=_PATIENCE)
    if done.returncode != 0:
        raise ReleaseError(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout
