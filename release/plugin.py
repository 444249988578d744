"""How the command line becomes one program that needs no Python, for the platform that it is made on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn import __version__

from . import packing
from .errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LEFT_OUT", "NAME", "archive_name", "build"]

NAME = "kubectl-keyturn"
_ROOT = Path(__file__).parents[1]
_ENTRY = Path(__file__).with_name("entry.py")
_PATIENCE = 900.0
_FOUND_BY_NAME = (
    "keyturn.checklist.points",
    "keyturn.databases.engines",
    "keyturn.generators",
    "keyturn.stores.providers",
    "detect_secrets.plugins",
    "zxcvbn",
)
"""Packages whose modules are looked for while the program runs, and so not seen by who reads its imports."""
_READ_AS_FILES = ("keyturn.checklist", "xkcdpass", "tzdata")
LEFT_OUT = (
    *("kopf", "botocore", "azure", "google", "google_crc32c", "grpc"),
    *("psycopg", "psycopg_binary"),
    "readline",
)
"""Modules that only `keyturn run` needs, and readline, which is under the terms of the GPL."""
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def archive_name() -> str:
    """Return how the archive of this platform is called, in the words of Go and of Krew."""
    machine = platform.machine().lower()
    return f"{NAME}_v{__version__}_{platform.system().lower()}_{_ARCHITECTURES.get(machine, machine)}.tar.gz"


def build(into: Path) -> Path:
    """Make the archive in a folder; that takes about a minute."""
    with tempfile.TemporaryDirectory(prefix="keyturn-plugin-") as scratch:
        folder = _freeze(Path(scratch))
        _remove_locales(folder / "_internal")
        _add_licenses(folder)
        into.mkdir(parents=True, exist_ok=True)
        return packing.pack_gzipped(packing.files_of(folder), into / archive_name())


def _freeze(scratch: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "PyInstaller",
        "--onedir",
        "--noupx",
        "--log-level=WARN",
        f"--name={NAME}",
    ]
    command += [f"--{kind}path={scratch / kind}" for kind in ("dist", "work", "spec")]
    command += [f"--paths={_ROOT / 'operator'}", f"--additional-hooks-dir={_hooks(scratch)}"]
    command += [f"--collect-submodules={name}" for name in _FOUND_BY_NAME]
    command += [f"--collect-data={name}" for name in _READ_AS_FILES]
    command += [f"--hidden-import={name}" for name in _READ_AS_FILES]
    command += [f"--exclude-module={name}" for name in (*LEFT_OUT, *_modules_of_others())]
    done = subprocess.run(
        [*command, str(_ENTRY)],
        cwd=scratch,
        env=os.environ | {"PYINSTALLER_CONFIG_DIR": str(scratch / "cache")},
        check=False,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    if done.returncode != 0:
        raise ReleaseError(f"PyInstaller made no program:\n{done.stderr[-2000:]}")
    return scratch / "dist" / NAME


def _hooks(scratch: Path) -> Path:
    """Have our sources beside the program: `keyturn crds` takes its descriptions from them."""
    folder = scratch / "hooks"
    folder.mkdir()
    (folder / "hook-keyturn.py").write_text('module_collection_mode = "pyz+py"\n')
    return folder


def _remove_locales(libraries: Path) -> None:
    """Remove babel's data of locales that no template formats in: 31 of 32 MB."""
    for name, path in packing.files_of(libraries):
        if packing.UNUSED_LOCALES.fullmatch(name):
            path.unlink()


def _modules_of_others() -> Iterator[str]:
    """Name what is installed here, and is no part of the command line: tools and tests."""
    pinned = _pinned()
    for module, whose in importlib.metadata.packages_distributions().items():
        if not pinned & set(map(_canonical, whose)):
            yield module


def _pinned() -> frozenset[str]:
    names = re.findall(r"^([\w.-]+)==", (_ROOT / "requirements.txt").read_text(), re.MULTILINE)
    return frozenset({"keyturn", *map(_canonical, names)})


def _add_licenses(folder: Path) -> None:
    """Put beside the program under which terms each part of it is; a part that no lock pins is refused."""
    parts = _distributions(folder)
    if strangers := parts - _pinned():
        raise ReleaseError(f"the program has parts that no lock pins: {', '.join(sorted(strangers))}")
    shutil.copy(_ROOT / "LICENSE", folder / "LICENSE")
    texts = {name: list(_license_texts(name)) for name in parts - {"keyturn"}}
    texts["python"] = [
        path for path in (Path(sysconfig.get_path("stdlib")) / "LICENSE.txt",) if path.exists()
    ]
    for name, text in ((name, text) for name, found in texts.items() for text in found):
        target = folder / "licenses" / name / text.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(text, target)


def _distributions(folder: Path) -> set[str]:
    """Name the Python packages that the program consists of."""
    from PyInstaller.archive.readers import CArchiveReader  # noqa: PLC0415  # only who builds has it

    outer = CArchiveReader(str(folder / NAME))
    inner = (outer.open_embedded_archive(name) for name in outer.toc if name.startswith("PYZ"))
    modules = {module for archive in inner for module in archive.toc}
    modules |= {path.name for path in (folder / "_internal").iterdir()}
    whose = importlib.metadata.packages_distributions()
    return {_canonical(name) for module in modules for name in whose.get(module.split(".")[0], ())}


def _license_texts(distribution: str) -> Iterator[Path]:
    for file in importlib.metadata.files(distribution) or ():
        if ".dist-info" in str(file) and re.match(
            r"LICEN[CS]E|COPYING|NOTICE|AUTHORS", file.name, re.IGNORECASE
        ):
            yield Path(str(file.locate()))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
