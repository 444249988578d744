"""Progress of a long build on the terminal."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from .errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


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
