"""How one program is compiled, with its log shown if that fails."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from . import golang
from .errors import SandboxError, log_tail
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .parts import Part

_BUILD_TIMEOUT = 3600.0


def compile_part(
    go: Path,
    part: Part,
    scratch: Path,
    *,
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> None:
    """Put the program of `part` into `scratch`/bin; `flags` and `environment` add to what every part gets."""
    log = scratch / f"{part.name}.log"
    output = scratch / "bin" / part.name
    common = ["-trimpath", "-buildvcs=false", "-ldflags", part.ldflags, *flags]
    command = [str(go), "build", *common, "-o", str(output), part.package]
    _run(command, part, log, {**golang.environment(), **(environment or {})})
    log.unlink()


def _run(command: list[str], part: Part, log: Path, environment: Mapping[str, str]) -> None:
    with log.open("wb") as out, Progress(f"sandbox: {part.name}", _BUILD_TIMEOUT) as progress:
        process = subprocess.Popen(command, cwd=part.module_folder, env=environment, stdout=out, stderr=out)
        try:
            code = progress.wait_for(process)
        finally:
            process.kill()
            process.wait()
    if code != 0:
        raise SandboxError(f"building {part.name} failed with code {code}:\n{log_tail(log)}")
