"""The operator as a process on this machine, with a kubeconfig of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Self

from .errors import DemoError
from .kubectl import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_START = 30.0
_END = 15.0
_TAIL = 20
_LEADS = '"event": "leading"'
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Operator:
    """`keyturn run`, from the start of the block to its end."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._kubeconfig = kubeconfig
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "keyturn", "run", "--all-namespaces", "--log-format=json"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--metrics-port=0", "--health-port=0"],
                env={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends it
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no other thread runs now
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_it_leads(self) -> None:
        """Wait until it works.

        Raises:
            DemoError: It ended, or it takes too long.
        """
        eventually("the operator's start", self._leads, _START)

    def stop(self) -> None:
        """Ask it to end, and see that it has."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def last_words(self) -> str:
        """Return the end of its log, which never holds a value."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_TAIL:])

    def _leads(self) -> bool:
        if self._process and self._process.poll() is not None:
            raise DemoError(f"the operator ended with code {self._process.returncode}")
        return _LEADS in self._log.read_text(errors="replace")


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
