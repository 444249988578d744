"""Errors of the sandbox, with the cause and the remedy."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class SandboxError(RuntimeError):
    """The sandbox cannot do what was asked; the message says why."""


def output_of(
    command: Sequence[str | Path],
    seconds: float,
    trouble: str | None = None,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Return what a command prints.

    Raises:
        SandboxError: It fails; the message has `trouble`, or its name, and the end of what it says.
    """
    told = [str(part) for part in command]
    done = subprocess.run(
        told, cwd=cwd, env=env, check=False, capture_output=True, text=True, timeout=seconds
    )
    if done.returncode != 0:
        said = last_lines(done.stderr.splitlines())
        raise SandboxError(f"{trouble or told[0]}: failed with code {done.returncode}:\n{said}")
    return done.stdout


def log_tail(log: Path) -> str:
    """Return the last lines of a log file, indented to stand under an error message."""
    if not log.exists():
        return f"  ({log} was never written)"
    return last_lines(log.read_text(errors="replace").splitlines()) or f"  ({log} is empty)"


def last_lines(said: Sequence[str]) -> str:
    """Return the last of these lines, indented to stand under an error message."""
    return "\n".join(f"  | {line}" for line in said[-25:])
