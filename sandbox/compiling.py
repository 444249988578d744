"""Compiles the programs of a Go module with one command, and shows Go's output if that fails."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from . import golang
from .errors import SandboxError, last_lines
from .parts import FLAGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from .parts import Part

_TIMEOUT = 3600.0


def compile_parts(
    go: Path,
    parts: Sequence[Part],
    scratch: Path,
    *,
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Put the programs of `parts` into `scratch`/bin; `flags` and `environment` add to what every part gets.

    The parts of one module share a command: each package is compiled once, and others while a program is linked.
    """
    settings = {**golang.environment(), **(environment or {})}
    (scratch / "bin").mkdir(exist_ok=True)
    for module in dict.fromkeys(part.module_folder for part in parts):
        together = [part for part in parts if part.module_folder == module]
        _compile(_Go(go, module, settings, scratch), together, scratch, flags)
    for file in (scratch / "go.out", scratch / "go.log"):
        file.unlink()


def _compile(go: _Go, parts: Sequence[Part], scratch: Path, flags: Sequence[str]) -> None:
    names = parts[0].name if len(parts) == 1 else f"{parts[0].name} and {len(parts) - 1} more"
    mains = [part.package for part in parts]
    # Go downloads the modules to know the packages, and does it faster than while it compiles.
    listed = go.run(f"downloading {names}", ["list", "-deps", *flags, *mains], lambda done: f"{done} modules")
    packages = frozenset(listed.split())
    made = scratch / "made"
    made.mkdir()
    # For each program by name: the version that one of them links is none of the others'.
    links = [f"-ldflags={part.package}={part.ldflags}" for part in parts]
    go.run(
        f"compiling {names}",
        ["build", "-v", *FLAGS, *flags, *links, "-o", f"{made}/", *mains],
        lambda done: f"{done:,} of {len(packages):,} packages",
        expected=packages,
    )
    for part in parts:
        (made / _name_given_by_go(part.package)).rename(scratch / "bin" / part.name)
    made.rmdir()


def _name_given_by_go(package: str) -> str:
    """Return what Go names the program of a package: the last element of its path that is no major version."""
    path = PurePosixPath(package)
    is_version = path.name.startswith("v") and path.name[1:].isdigit()
    return path.parent.name if is_version else path.name


@dataclass(frozen=True, slots=True)
class _Go:
    """Go in the folder of a module."""

    program: Path
    module: Path
    environment: Mapping[str, str]
    scratch: Path

    def run(
        self,
        doing: str,
        arguments: Sequence[str],
        so_far: Callable[[int], str],
        expected: frozenset[str] = frozenset(),
    ) -> str:
        """Return what a command of Go prints; the number of lines of its log shows how far it is.

        Raises:
            SandboxError: It failed; the message has what the log says beside the lines that are `expected`.
        """
        output, log = self.scratch / "go.out", self.scratch / "go.log"
        progress = Progress(f"sandbox: {doing}", _TIMEOUT, lambda: so_far(_lines_of(log)))
        with output.open("wb") as out, log.open("wb") as err, progress:
            process = subprocess.Popen(
                [str(self.program), *arguments], cwd=self.module, env=self.environment, stdout=out, stderr=err
            )
            try:
                code = progress.wait_for(process)
            finally:
                process.kill()
                process.wait()
        if code != 0:
            said = log.read_text(errors="replace").splitlines()
            trouble = last_lines([line for line in said if line not in expected])
            raise SandboxError(f"{doing} failed with code {code}:\n{trouble}")
        return output.read_text()


def _lines_of(log: Path) -> int:
    return log.read_bytes().count(b"\n")


class Progress:
    """One line with what is done and the seconds so far: rewritten on a terminal, repeated now and then elsewhere."""

    def __init__(self, label: str, timeout: float, so_far: Callable[[], str]) -> None:
        self._label = label
        self._timeout = timeout
        self._so_far = so_far
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._width = 0

    def __enter__(self) -> Self:
        self._show("…")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show("done" if kind is None else "stopped", end="\n")

    def wait_for(self, process: subprocess.Popen[bytes]) -> int:
        """Return the exit code of `process`, showing the time until then."""
        while self._seconds() < self._timeout:
            try:
                return process.wait(timeout=1 if self._terminal else 30)
            except subprocess.TimeoutExpired:
                self._show(f"{self._so_far()} …")
        raise SandboxError(f"{self._label} took longer than {self._timeout:.0f} s")

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _show(self, word: str, end: str = "") -> None:
        line = f"{self._label} {word} {self._seconds():.0f} s"
        if not self._terminal:
            print(line, file=sys.stderr, flush=True)
            return
        # As long as the line before: what is shorter would leave its end standing.
        print(f"\r{line:{self._width}}", end=end, file=sys.stderr, flush=True)
        self._width = len(line)
