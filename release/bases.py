"""The two bases of the image without a registry: chosen files of Debian's packages, and nothing that they would run.

What the operator runs on has an interpreter, its libraries, certificates and time zones, and neither a shell nor a
package manager. What the image is built on has a shell and pip beside them. apt fetches the packages, with its
signatures checked, in a folder of its own: nothing of the machine's packages is read or changed.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from .checkout import ReleaseError, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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


def key(folder: Path) -> str:
    """Say which bases are in a folder: made again of newer packages, they are others."""
    return hashlib.sha256("".join(map(_digest, sorted(folder.iterdir()))).encode()).hexdigest()[:16]


def recipe() -> str:
    """Say of what bases are made, apart from the packages."""
    return hashlib.sha256(Path(__file__).read_bytes() + platform.machine().encode()).hexdigest()[:16]


def write(scratch: Path) -> Path:
    """Write both, as tar archives, into a folder below `scratch`, made of what Debian serves today."""
    packages, folder = fetch(_BUILD, scratch), scratch / "made"
    folder.mkdir()
    _pack([package for package in packages if package.name.partition("_")[0] in RUN], folder / "run.tar")
    _pack(packages, folder / "build.tar")
    return folder


def _pack(packages: Sequence[Path], into: Path) -> None:
    tree = _Tree()
    for package in packages:
        tree.take(package)
        about = run(["dpkg-deb", "--field", package])
        tree.put(f"{_STATUS}/{package.name.partition('_')[0]}", f"{about}SHA256: {_digest(package)}\n")
    for name, text in _OURS.items():
        tree.put(name, text)
    tree.put(_BUNDLE, "".join(tree.authorities[name] for name in sorted(tree.authorities)))
    tree.pack(into)


@dataclass(frozen=True, slots=True)
class _Tree:
    """Files by their paths, of which a later one replaces an earlier."""

    entries: dict[str, tuple[tarfile.TarInfo, bytes]] = field(default_factory=dict)
    authorities: dict[str, str] = field(default_factory=dict)

    def take(self, package: Path) -> None:
        with files(package) as archive:
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


# Packages of Debian

SUITE: Final = "trixie"
_MIRROR: Final = "DEBIAN_MIRROR"
"""The variable that names a mirror where apt of this machine has none, as on Ubuntu."""
_SUITES: Final = (f"debian {SUITE}", f"debian {SUITE}-updates", f"debian-security {SUITE}-security")
_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def files(package: Path) -> tarfile.TarFile:
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=False, capture_output=True)
    if done.returncode != 0:
        raise ReleaseError(f"{package.name} cannot be unpacked")
    return tarfile.open(fileobj=io.BytesIO(done.stdout))


def fetch(names: Sequence[str], folder: Path) -> list[Path]:
    """Fetch the newest version of each package into a folder; they are returned by name."""
    if missing := [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]:
        raise ReleaseError(
            f"a base is made of Debian's packages, and {' and '.join(missing)} is missing here: use a machine with "
            "Debian or Ubuntu, or build from a registry's bases (docs/image.md)"
        )
    if not _KEYS.exists():
        raise ReleaseError(f"{_KEYS} is missing: install the package debian-archive-keyring")
    apt = ["apt-get", "--quiet=2", *_private(folder)]
    run([*apt, "update"])
    archives = folder / "archives"
    archives.mkdir()
    run([*apt, "download", *names], folder=archives)
    return sorted(archives.glob("*.deb"))


def _mirror() -> str:
    """Return the mirror that apt of this machine uses for Debian: below it are `debian` and `debian-security`."""
    if named := os.environ.get(_MIRROR):
        return named.rstrip("/")
    known = run(["apt-get", "indextargets", "--format=$(REPO_URI)"])
    found = re.search(r"^(\S+)/debian/?$", known, re.MULTILINE)
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
