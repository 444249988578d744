"""Go programs of tests, built into the cache once."""

import hashlib
import platform
from pathlib import Path

from sandbox import cache, golang


def built(module: Path, name: str, seconds: float, *, package: str = ".") -> Path:
    """Return a program of the Go module in a folder; where this machine never built it, that may take `seconds`."""
    return folder_of(module, name, seconds, packages=(package,)) / name


def folder_of(
    module: Path, name: str, seconds: float, *, packages: tuple[str, ...], flags: tuple[str, ...] = ()
) -> Path:
    """Return the folder, named after `name`, that holds the program of each package under the name that Go gives."""
    what = (*golang.FLAGS, *flags, *packages)

    def compile_all(into: Path) -> None:
        golang.run_go(module, "build", "-ldflags=-s -w", "-o", f"{into}/", *what, seconds=seconds)

    return cache.filled(f"{name}-{_key(module, what)}", name, compile_all)


def _key(module: Path, what: tuple[str, ...]) -> str:
    """Name the folder by all that decides what is built."""
    told = repr((what, platform.system(), platform.machine())).encode()
    sources = sorted(module.iterdir())
    return hashlib.sha256(told + b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
