"""Waits for a program with a time limit, and shows its log if the limit is exceeded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .errors import SandboxError, log_tail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .control import Control

_TIMEOUT = 60.0
_PAUSE = 0.05


def wait_for(control: Control, program: str, log: Path, what: str, reached: Callable[[], bool]) -> None:
    """Wait until `reached`; a SandboxError if `program` ends before or takes too long."""
    deadline = time.monotonic() + _TIMEOUT
    while not reached():
        ended = control.programs()[program].ended
        if ended is not None:
            raise SandboxError(_about(program, log, f"ended with code {ended} before it was {what}"))
        if time.monotonic() > deadline:
            raise SandboxError(_about(program, log, f"was not {what} within {_TIMEOUT:.0f} s"))
        time.sleep(_PAUSE)


def _about(program: str, log: Path, trouble: str) -> str:
    return f"{program} {trouble}; the end of its log:\n{log_tail(log)}"
