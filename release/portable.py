"""How the command line becomes an archive for a platform, on any other: its packages beside it, and no Python.

Wheels are taken by the lock's hashes for each Python release that users may have, and none of their code runs here.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from keyturn import __version__

from . import packing
from .errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .checkout import Checkout

__all__ = ["LEFT_OUT", "PLATFORMS", "PYTHONS", "Platform", "assemble", "build", "distributions", "locked"]

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_ROOT = Path(__file__).parents[1]
_HERE = Path(__file__).parent
_LAUNCHER = _HERE / "launcher"
_NAMES = ("keyturn", "kubectl-keyturn", "kubectl_complete-keyturn")
"""What the launcher may be called, which decides what it runs as."""
LEFT_OUT = frozenset(
    {
        "azure-keyvault-secrets",
        "botocore",
        "google-cloud-secret-manager",
        "google-crc32c",
        "kopf",
        "psycopg",
        "psycopg-binary",
        "uvloop",
    }
)
"""Packages that only `keyturn run` needs."""
_UNUSED = ("kubernetes/aio",)
"""A second client of 41 MB that no command loads."""
_PATIENCE = 600.0


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform in the words of Go and Krew, of uv, and of Python's own file names."""

    system: str
    architecture: str
    for_uv: str
    extension: str
    other_pins: str | None = None
    """A lock whose packages replace those of the common one."""

    @property
    def archive_name(self) -> str:
        return f"keyturn_v{__version__}_{self.system}_{self.architecture}.tar.gz"

    def folder(self, python: str) -> str:
        """Name the folder of what works with one Python release only, as launcher/start.py looks for it."""
        return f"cpython-{python.replace('.', '')}-{self.extension}"


PLATFORMS = (
    Platform("linux", "amd64", "x86_64-manylinux_2_28", "x86_64-linux-gnu"),
    Platform("linux", "arm64", "aarch64-manylinux_2_28", "aarch64-linux-gnu"),
    # No release of cryptography since 49 has a wheel for it.
    Platform("darwin", "amd64", "x86_64-apple-darwin", "darwin-x86_64", "requirements-darwin-amd64.txt"),
    Platform("darwin", "arm64", "aarch64-apple-darwin", "darwin-arm64"),
)


def build(platform: Platform, into: Path, source: Checkout) -> Path:
    """Make the archive of a platform in a folder; its files have the time of the commit.

    A time for all releases would not do: Python knows what it compiled by time and size, and takes a file of the
    release before for one that an archive was unpacked over.
    """
    with tempfile.TemporaryDirectory(prefix="keyturn-portable-") as scratch:
        top = assemble(platform, Path(scratch), source)
        files = packing.files_of(top, f"{top.name}/")
        return packing.pack_gzipped(files, into / platform.archive_name, source.committed)


def assemble(platform: Platform, into: Path, source: Checkout) -> Path:
    """Put together what the archive of a platform holds; return its one folder."""
    top = into / f"keyturn-{__version__}"
    _add_launchers(top, platform)
    for python in PYTHONS:
        installed = into / python
        _install(platform, python, installed)
        _sort(installed, top / "lib" / "any", top / "lib" / platform.folder(python))
    _add_own_code(top / "lib" / "any", source)
    return top


def distributions() -> frozenset[str]:
    """Name the packages that commands need, on whichever platform and Python."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    found: set[str] = set()
    left = [*project["dependencies"], *project.get("optional-dependencies", {}).get("cli", ())]
    while left:
        wanted = Requirement(left.pop())
        name = canonicalize_name(wanted.name)
        if name not in found | LEFT_OUT and _applies_anywhere(wanted):
            found.add(name)
            left += _requirements(name)
    return frozenset(found)


def _requirements(name: str) -> Sequence[str]:
    try:
        return importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError as error:
        raise ReleaseError(
            f"{name} is needed elsewhere but not installed here, so that what it needs is not known"
        ) from error


def _applies_anywhere(wanted: Requirement) -> bool:
    """Say whether one of the Pythons on one of the platforms needs it."""
    return wanted.marker is None or any(
        wanted.marker.evaluate(
            {
                "extra": "",
                "python_version": python,
                "python_full_version": f"{python}.0",
                "sys_platform": system,
            }
        )
        for python, system in itertools.product(PYTHONS, ("linux", "darwin"))
    )


def locked(platform: Platform) -> Mapping[str, str]:
    """Return what the locks say of each package that commands need on a platform, hashes included."""
    found = _entries(_ROOT / "requirements.txt")
    if platform.other_pins:
        found |= _entries(_HERE / platform.other_pins)
    needed = distributions()
    if missing := needed - set(found):
        raise ReleaseError(f"no lock pins {', '.join(sorted(missing))}, which commands need; run make lock")
    return {name: found[name] for name in sorted(needed)}


def _entries(lock: Path) -> dict[str, str]:
    entries = re.findall(r"^[\w.-]+==(?:.*\\\n)*.*\n", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(entry.partition("==")[0]): entry for entry in entries}


def _install(platform: Platform, python: str, into: Path) -> None:
    """Unpack the wheels for a Python release on a platform: nothing is built, and no code of a package runs."""
    requirements = into.with_name(f"{into.name}.txt")
    requirements.write_text("".join(locked(platform).values()))
    command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-config"]
    command += ["--target", str(into), "--python-platform", platform.for_uv, "--python-version", python]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-compile-bytecode"]
    command += ["-r", str(requirements)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_PATIENCE)
    if done.returncode != 0:
        raise ReleaseError(
            f"the packages for Python {python} on {platform.for_uv} cannot be had:\n{done.stderr[-2000:]}"
        )


def _sort(installed: Path, anywhere: Path, own: Path) -> None:
    """Move what works with every Python release into one folder, and what does not into that of its release."""
    for info in sorted(installed.glob("*.dist-info")):
        into = own if _is_bound_to_one_release(info) else anywhere
        for name in list(_files_of_wheel(info)):
            _move(installed / name, into / name)


def _is_bound_to_one_release(info: Path) -> bool:
    tags = re.findall(r"^Tag: ([^-]+)-([^-]+)-", (info / "WHEEL").read_text(), re.MULTILINE)
    return all(abi.startswith("cp") for _, abi in tags)


def _files_of_wheel(info: Path) -> Iterator[str]:
    """Name what a wheel brought, without what only an installer needs and without programs for another Python."""
    for line in (info / "RECORD").read_text().splitlines():
        name = line.rsplit(",", 2)[0].strip('"')
        by_installer = Path(name).name in {"INSTALLER", "REQUESTED", "RECORD"} and name.startswith(info.name)
        is_unused = name.startswith(("..", "bin/", *_UNUSED)) or packing.UNUSED_LOCALES.fullmatch(name)
        if not by_installer and not is_unused:
            yield name


def _move(source: Path, target: Path) -> None:
    if target.exists():
        if target.read_bytes() != source.read_bytes():
            raise ReleaseError(f"{target.name} differs between releases of Python, though its wheel fits all")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def _add_own_code(folder: Path, source: Checkout) -> None:
    code = _ROOT / "operator" / "keyturn"
    shutil.copytree(code, folder / "keyturn", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "keyturn" / "commit.txt").write_text(f"{source.short}\n")


def _add_launchers(top: Path, platform: Platform) -> None:
    top.mkdir()
    script = (_LAUNCHER / "keyturn").read_text()
    script = script.replace("@COMMANDS@", " ".join(f"python{python}" for python in reversed(PYTHONS)))
    script = script.replace("@PYTHONS@", f"{PYTHONS[0]} to {PYTHONS[-1]}")
    script = script.replace("@PLATFORM@", f"{platform.system} on {platform.architecture}")
    for name in _NAMES:
        (top / name).write_text(script)
        (top / name).chmod(0o755)
    shutil.copy(_LAUNCHER / "start.py", top / "start.py")
    shutil.copy(_ROOT / "LICENSE", top / "LICENSE")
