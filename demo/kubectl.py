"""kubectl and keyturn as a person types them: the line is shown, then what it said."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .screen import Screen

ROOT = Path(__file__).parents[1]

_CALL_TIMEOUT = 150.0
_PAUSE = 0.1
_BESIDE_PYTHON = Path(sys.executable).with_name("kubectl")


class Kubectl:
    """kubectl with one kubeconfig; nothing it is asked waits for ever."""

    def __init__(self, screen: Screen, kubeconfig: Path | None = None) -> None:
        """Take the person's own kubeconfig where none is given."""
        self._program = (
            str(_BESIDE_PYTHON) if _BESIDE_PYTHON.exists() else shutil.which("kubectl") or "kubectl"
        )
        self._environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
        self._screen = screen

    def show(self, line: str) -> None:
        """Show a command, run it, and show its output.

        Raises:
            DemoError: It failed.
        """
        self._screen.command(f"kubectl {line}")
        self._screen.output(self.quiet(line))

    def show_keyturn(self, line: str) -> None:
        """Show a command of Keyturn's own command line, run it, and show its output.

        Raises:
            DemoError: It said nothing; a code other than 0 can mean that something is not well.
        """
        self._screen.command(f"keyturn {line}")
        done = self._run([sys.executable, "-m", "keyturn"], "keyturn", line)
        if not done.stdout:
            raise DemoError(f"keyturn {line}\n{done.stderr.strip()}")
        self._screen.output(done.stdout)

    def quiet(self, line: str) -> str:
        """Run a command and return its output, which may hold what is not to be shown.

        Raises:
            DemoError: It failed.
        """
        done = self.attempt(line)
        if done.returncode != 0:
            raise DemoError(f"kubectl {line}\n{done.stderr.strip()}")
        return done.stdout

    def json(self, line: str) -> Any:
        return json.loads(self.quiet(f"{line} -o json"))

    def attempt(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return self._run([self._program], "kubectl", line)

    def _run(self, program: list[str], name: str, line: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*program, *shlex.split(line)],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                text=True,
                timeout=_CALL_TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"{name} {line}\ndid not end within {_CALL_TIMEOUT:.0f} s") from None


def eventually(what: str, holds: Callable[[], bool], timeout: float) -> None:
    """Wait until something holds.

    Raises:
        DemoError: It did not come true in time.
    """
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise DemoError(f"{what} was not reached within {timeout:.0f} s")
        time.sleep(_PAUSE)
