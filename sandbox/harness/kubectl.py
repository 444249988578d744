"""kubectl with one kubeconfig."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .waiting import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BESIDE_PYTHON = Path(sys.executable).with_name("kubectl")
PROGRAM = str(_BESIDE_PYTHON if _BESIDE_PYTHON.exists() else shutil.which("kubectl") or "kubectl")
_LITTLE_GARBAGE = {"GOGC": "400"}
"""Go's collector waits for five times the live heap: a short process reads manifests in a fifth less time."""
_REQUEST_TIMEOUT = "20s"
_TIMEOUT = 60.0


class Kubectl:
    """kubectl with one kubeconfig; each call has a timeout."""

    def __init__(
        self,
        kubeconfig: Path | None = None,
        *,
        request_timeout: str | None = _REQUEST_TIMEOUT,
        timeout: float = _TIMEOUT,
        folder: Path | None = None,
    ) -> None:
        """Without a kubeconfig, use the user's own.

        Args:
            kubeconfig: The kubeconfig of each call.
            request_timeout: The limit of one request to the API server; None is kubectl's own.
            timeout: The limit of one call, in seconds.
            folder: The working directory, which paths in arguments are relative to.
        """
        self.kubeconfig = kubeconfig
        self._command = (PROGRAM, *(() if kubeconfig is None else (f"--kubeconfig={kubeconfig}",)))
        self._limit = () if request_timeout is None else (f"--request-timeout={request_timeout}",)
        self._timeout = timeout
        self._folder = folder

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a call that runs until it is ended, such as a watch."""
        return [*self._command, *arguments]

    def run(self, *arguments: str, given: object = None) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail; `given` is its standard input, as JSON.

        Raises:
            HarnessError: It did not end in time, or there is no kubectl.
        """
        try:
            return subprocess.run(
                [*self._command, *self._limit, *arguments],
                stdin=subprocess.DEVNULL if given is None else None,
                input=None if given is None else json.dumps(given),
                check=False,
                capture_output=True,
                text=True,
                timeout=self._timeout,
                cwd=self._folder,
                env=_LITTLE_GARBAGE | os.environ,
            )
        except subprocess.TimeoutExpired:
            raise HarnessError(f"{_named(arguments)} did not end within {self._timeout:.0f} s") from None
        except FileNotFoundError:
            raise HarnessError("there is no kubectl on PATH; install it") from None

    def __call__(self, *arguments: str, given: object = None) -> str:
        """Run a command, and return its output.

        Raises:
            HarnessError: It failed; the message has what kubectl wrote to standard error.
        """
        done = self.run(*arguments, given=given)
        if done.returncode != 0:
            raise HarnessError(f"{_named(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str, given: object = None) -> Any:
        return json.loads(self(*arguments, "-o", "json", given=given))

    def begin(self, *arguments: str, into: Path) -> subprocess.Popen[str]:
        """Start a command that does not end, such as a watch; the caller ends it."""
        with into.open("w") as out:
            command = [*self._command, *arguments]
            return subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, text=True)


def _named(arguments: Iterable[str]) -> str:
    """Return a command without its options, which may hold values."""
    return " ".join(("kubectl", *takewhile(lambda one: not one.startswith("-"), arguments)))
