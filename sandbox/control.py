"""Client of a plane's supervisor."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import SandboxError, log_tail
from .runtime import Claim

_TIMEOUT = 30.0
_END_TIMEOUT = 120.0
"""Seconds for all programs together, each of which may use its patience, on a machine that does much else."""
_READY_TIMEOUT, _PAUSE = 60.0, 0.05
_SOCKET = "control.sock"
SCRIPT = Path(__file__).with_name("supervisor.py")
"""What keeps the programs of a plane, or of a node in it, together."""


@dataclass(frozen=True, slots=True)
class Program:
    """What the supervisor knows of one program."""

    pid: int
    ended: int | None
    """Its exit code, or None while it runs."""


@dataclass(frozen=True, slots=True)
class Control:
    """The requests a supervisor understands."""

    folder: Path
    socket: str = _SOCKET
    prefix: str = ""
    """What the names of logs begin with."""

    def log(self, program: str) -> Path:
        return self.folder / "logs" / f"{self.prefix}{program}.log"

    def start(self, name: str, argv: Sequence[str], patience: float | None = None) -> None:
        """Start a program; an error if it runs already.

        At the end of the plane it gets `patience` seconds between SIGTERM and SIGKILL, or the supervisor's own.
        """
        log = str(self.log(name))
        self._ask({"do": "start", "name": name, "argv": list(argv), "log": log, "patience": patience})

    def wait_for(self, program: str, what: str, reached: Callable[[], bool]) -> None:
        """Wait until `reached`; a SandboxError if `program` ends before or takes too long."""
        deadline = time.monotonic() + _READY_TIMEOUT
        while not reached():
            ended, trouble = self.programs()[program].ended, None
            if ended is not None:
                trouble = f"ended with code {ended} before it was {what}"
            elif time.monotonic() > deadline:
                trouble = f"was not {what} within {_READY_TIMEOUT:.0f} s"
            if trouble:
                log = log_tail(self.log(program))
                raise SandboxError(f"{program} {trouble}; the end of its log:\n{log}")
            time.sleep(_PAUSE)

    def stop(self, name: str, patience: float) -> None:
        """End a program and wait for it, killing it after `patience` seconds; absent is success."""
        self._ask({"do": "stop", "name": name, "patience": patience}, patience + _TIMEOUT)

    def programs(self) -> Mapping[str, Program]:
        found = self._ask({"do": "status"})["programs"]
        return {name: Program(facts["pid"], facts["ended"]) for name, facts in found.items()}

    def detach(self) -> None:
        """Let the plane outlive the process that started it."""
        self._ask({"do": "detach"})

    def end(self) -> None:
        """End every program, the supervisor and the folder, and wait for that."""
        self._ask({"do": "end"}, _END_TIMEOUT)

    def _ask(self, request: Mapping[str, Any], timeout: float = _TIMEOUT) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(str(self.folder / self.socket))
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("r") as lines:
                    answer: dict[str, Any] = json.loads(lines.read())
        except (OSError, ValueError) as error:
            raise SandboxError(f"the supervisor of {self.folder.name!r} did not answer: {error}") from error
        if "error" in answer:
            raise SandboxError(str(answer["error"]))
        return answer


def launch(claim: Claim) -> subprocess.Popen[bytes]:
    """Start the supervisor of a claimed folder; it ends when our end of its standard input closes."""
    with socket.socket(socket.AF_UNIX) as listener, (claim.folder / "supervisor.log").open("wb") as log:
        listener.bind(str(claim.folder / _SOCKET))
        listener.listen()
        inherited = (listener.fileno(), claim.lock.fileno())
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(SCRIPT), str(claim.folder), *map(str, inherited)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=inherited,
            start_new_session=True,
            cwd="/",
        )
