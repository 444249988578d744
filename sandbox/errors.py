"""Errors of the sandbox, with the cause and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TAIL_BYTES = 16_384


class SandboxError(RuntimeError):
    """The sandbox cannot do what was asked; the message says why."""


def log_tail(log: Path, lines: int = 25) -> str:
    """Return the last lines of a log file, indented to stand under an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return f"  ({log} was never written)"
    return last_lines(text.splitlines(), lines) or f"  ({log} is empty)"


def last_lines(said: Sequence[str], lines: int = 25) -> str:
    """Return the last of these lines, indented to stand under an error message."""
    return "\n".join(f"  | {line}" for line in said[-lines:])
