"""kubectl with one kubeconfig, and waits until a condition holds."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from sandbox.errors import SandboxError

_BESIDE_PYTHON = Path(sys.executable).with_name("kubectl")
PROGRAM = str(_BESIDE_PYTHON if _BESIDE_PYTHON.exists() else shutil.which("kubectl") or "kubectl")
_LITTLE_GARBAGE = {"GOGC": "400"}
"""Go's collector waits for five times the live heap: a short process reads manifests in a fifth less time."""
_TIMEOUT = 60.0


_POLL_INTERVAL, _LONG_POLL_INTERVAL = 0.05, 0.2
_SHORT_WAIT = 2.0
"""Seconds after which a wait looks less often: each look takes processor time from what it waits for."""
_ASYNC_POLL_INTERVAL = 0.02


class HarnessError(SandboxError):
    """A command failed, or a condition did not hold in time; the message says which."""


class Kubectl:
    """kubectl with one kubeconfig; each call has a timeout."""

    def __init__(
        self,
        kubeconfig: Path | None = None,
        *,
        request_timeout: str | None = "20s",
        timeout: float = _TIMEOUT,
        folder: Path | None = None,
    ) -> None:
        """Take the limit of a request, where None is kubectl's own, and of a call, and where relative paths begin.

        Without a kubeconfig, use the user's own.
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


def eventually(
    holds: Callable[[], bool],
    what: str = "it",
    timeout: float = _TIMEOUT,
    instead: Callable[[], object] | None = None,
) -> None:
    """Wait until a condition holds.

    Raises:
        HarnessError: The timeout is over; the message has `what`, and what `instead` returns.
    """
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        if waited >= timeout:
            found = f": {instead()}" if instead else ""
            raise HarnessError(f"{what} did not come true within {timeout:.0f} s{found}")
        time.sleep(_POLL_INTERVAL if waited < _SHORT_WAIT else _LONG_POLL_INTERVAL)


async def until(holds: Callable[[], bool], timeout: float = _TIMEOUT) -> None:  # noqa: ASYNC109  # as `eventually`
    """Wait in asyncio until a condition holds.

    Raises:
        TimeoutError: The timeout is over.
    """
    async with asyncio.timeout(timeout):
        while not holds():  # noqa: ASYNC110  # what is outside this process sets no events
            await asyncio.sleep(_ASYNC_POLL_INTERVAL)
