"""The two bases of the image without a registry: chosen files of Debian's packages, and nothing that they would run.

What the operator runs on has an interpreter, its libraries, certificates and time zones, and neither a shell nor a
package manager. What the image is built on has a shell and pip beside them.
"""

from __future__ import annotations

import hashlib
import io
import platform
import re
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from . import cache, debian
from .errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .debian import Package

_LIBRARIES: Final = (
    *("gcc-14-base", "libbz2-1.0", "libc6", "libexpat1", "libffi8", "libgcc-s1", "liblzma5", "libsqlite3-0"),
    *("libssl3t64", "libstdc++6", "libuuid1", "libzstd1", "zlib1g"),
)
_PYTHON: Final = ("libpython3.13-minimal", "libpython3.13-stdlib", "python3.13-minimal")
RUN: Final = ("base-files", "ca-certificates", "media-types", "netbase", "tzdata", *_LIBRARIES, *_PYTHON)
"""The packages of which the operator runs on files."""
_BUILD: Final = (*RUN, "dash", "python3-pip-whl", "python3.13-venv")
_KEPT: Final = re.compile(
    r"(bin|dev|etc|lib|lib64|proc|root|run|sbin|sys|tmp|usr|var|usr/(bin|lib|lib64|sbin|share)|var/(lib|tmp))"
    r"|etc/(debian_version|host\.conf|mime\.types|os-release|networks|protocols|rpc|services|ethertypes)"
    r"|etc/python3\.13/.*"
    r"|usr/bin/(python3\.13|dash|sh)"
    r"|usr/lib/os-release|usr/lib64/[^/]+"
    r"|usr/lib/[^/]+-linux-[^/]+/[^/]+\.so[^/]*"
    r"|usr/lib/python3\.13/.*"
    r"|usr/share/(zoneinfo|common-licenses|python-wheels)/.*"
    r"|usr/share/doc/[^/]+(/copyright)?"
)
"""What a base has of its packages; folders come with what is in them."""
_DROPPED: Final = re.compile(
    r"usr/lib/python3\.13/(test|idlelib|turtledemo|pydoc_data|curses|config-[^/]+)/.*"
    r"|usr/lib/python3\.13/lib-dynload/(_?test|_ctypes_test|_curses|_dbm|_gdbm|readline|xx|_xx).*"
)
"""Of the standard library: its tests, and what would need a terminal or libraries that a base has not."""
_STATUS: Final = "var/lib/dpkg/status.d"
"""Where scanners of images look for packages where there is no dpkg."""
_AUTHORITIES: Final = "usr/share/ca-certificates/"
_BUNDLE: Final = "etc/ssl/certs/ca-certificates.crt"
_OURS: Final[Mapping[str, str]] = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
        "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    ),
    "etc/group": "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True, slots=True)
class Made:
    """A folder of the cache with both bases, as tar archives."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run.tar"

    @property
    def build(self) -> Path:
        return self.folder / "build.tar"

    @property
    def key(self) -> str:
        """Say which it is: made again of newer packages, it is another one."""
        return hashlib.sha256(_digest(self.run).encode() + _digest(self.build).encode()).hexdigest()[:16]


def made() -> Made:
    """Return the bases, made of what Debian serves today where the cache has none; the caller is their only maker."""
    files = (Path(__file__), Path(debian.__file__))
    recipe = hashlib.sha256(b"".join(path.read_bytes() for path in files) + platform.machine().encode())
    found = Made(cache.folder() / f"bases-{recipe.hexdigest()[:16]}")
    if not found.folder.exists():
        cache.drop_older("bases-*", 1)
        with tempfile.TemporaryDirectory(dir=found.folder.parent, prefix=".bases-") as scratch:
            _write(Path(scratch)).rename(found.folder)
    return found


def _write(scratch: Path) -> Path:
    """Write both into a folder below `scratch`; they depend on the packages and on nothing else."""
    packages = debian.fetch(_BUILD, scratch)
    new = Made(scratch / "made")
    new.folder.mkdir()
    _pack([package for package in packages if package.name in RUN], new.run)
    _pack(packages, new.build)
    return new.folder


def _pack(packages: Sequence[Package], into: Path) -> None:
    tree = _Tree()
    for package in packages:
        tree.take(package)
        tree.put(f"{_STATUS}/{package.name}", f"{package.control}SHA256: {_digest(package.archive)}\n")
    for name, text in _OURS.items():
        tree.put(name, text)
    tree.put(_BUNDLE, "".join(tree.authorities[name] for name in sorted(tree.authorities)))
    tree.pack(into)


@dataclass(frozen=True, slots=True)
class _Tree:
    """Files by their paths, of which a later one replaces an earlier."""

    entries: dict[str, tuple[tarfile.TarInfo, bytes]] = field(default_factory=dict)
    authorities: dict[str, str] = field(default_factory=dict)

    def take(self, package: Package) -> None:
        with package.files() as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                name = entry.name.removeprefix("./").rstrip("/")
                if name.startswith(_AUTHORITIES) and name.endswith(".crt"):
                    self.authorities[name] = _content(archive, entry).decode()
                elif name not in {"", "."} and _KEPT.fullmatch(name) and not _DROPPED.fullmatch(name):
                    self._add(name, entry, _content(archive, entry))

    def put(self, name: str, text: str) -> None:
        self._add(name, tarfile.TarInfo(), text.encode())

    def _add(self, name: str, entry: tarfile.TarInfo, content: bytes) -> None:
        """Add an entry that root owns, without a time, and without the setuid and setgid bits."""
        mode = entry.mode & 0o1777
        known = entry.replace(name=name, mtime=0, mode=mode, uid=0, gid=0, uname="", gname="", deep=False)
        known.size = len(content)
        self.entries[name] = known, content

    def pack(self, into: Path) -> None:
        folders = {str(parent) for name in self.entries for parent in PurePosixPath(name).parents}
        for folder in folders - {"."} - self.entries.keys():
            entry = tarfile.TarInfo()
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            self._add(folder, entry, b"")
        with tarfile.open(into, "w", format=tarfile.GNU_FORMAT) as archive:
            for name in sorted(self.entries):
                entry, content = self.entries[name]
                archive.addfile(entry, io.BytesIO(content))


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    if entry.islnk():
        raise ReleaseError(f"{entry.name} is a second name of a file, and bases are made without such")
    file = archive.extractfile(entry) if entry.isreg() else None
    return file.read() if file else b""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
