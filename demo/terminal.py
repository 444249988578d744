"""kubectl and keyturn as a user types them: the screen shows the line, then its output."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from sandbox import harness
from sandbox.harness import HarnessError
from sandbox.harness.installation import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from .screen import Screen

_TIMEOUT = 600.0


class Terminal:
    """Commands with one kubeconfig, relative to the checkout; each has a timeout."""

    def __init__(self, screen: Screen, kubeconfig: Path | None = None) -> None:
        """Without a kubeconfig, use the user's own."""
        self.kubectl = harness.Kubectl(kubeconfig, request_timeout=None, timeout=_TIMEOUT, folder=ROOT)
        self._environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
        self._screen = screen

    def show(self, line: str) -> None:
        """Show a command, run it, and show its output.

        Raises:
            HarnessError: It failed.
        """
        self._screen.command(f"kubectl {line}")
        self._screen.output(self.quiet(line))

    def show_keyturn(self, line: str) -> None:
        """Show a command of Keyturn's own command line, run it, and show its output.

        Raises:
            HarnessError: It has no output; an exit code other than 0 can be a finding.
        """
        self._screen.command(f"keyturn {line}")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "keyturn", *shlex.split(line)],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                text=True,
                timeout=_TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise HarnessError(f"keyturn {line}\ndid not end within {_TIMEOUT:.0f} s") from None
        if not done.stdout:
            raise HarnessError(f"keyturn {line}\n{done.stderr.strip()}")
        self._screen.output(done.stdout)

    def quiet(self, line: str) -> str:
        """Run a command and return its output, which may hold what is not to be shown.

        Raises:
            HarnessError: It failed.
        """
        return self.kubectl(*shlex.split(line))

    def json(self, line: str) -> Any:
        return self.kubectl.json(*shlex.split(line))

    def attempt(self, line: str) -> str:
        """Return the output of a command that may fail."""
        return self.kubectl.run(*shlex.split(line)).stdout
