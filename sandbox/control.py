"""Client of a plane's supervisor."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SandboxError, log_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .runtime import Claim

_TIMEOUT = 30.0
_END_TIMEOUT = 120.0
"""Seconds for all programs together, each of which may use its patience, on a machine that does much else."""
_SOCKET = "control.sock"


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

    def start(self, name: str, argv: Sequence[str], log: Path, patience: float | None = None) -> None:
        """Start a program; an error if it runs already.

        At the end of the plane it gets `patience` seconds between SIGTERM and SIGKILL, or the supervisor's own.
        """
        argv = list(argv)
        self._ask({"do": "start", "name": name, "argv": argv, "log": str(log), "patience": patience})

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


def supervisor_script() -> Path:
    """Return the script that keeps the programs of a plane, or of a node in it, together."""
    return Path(__file__).with_name("supervisor.py")


def launch(claim: Claim) -> subprocess.Popen[bytes]:
    """Start the supervisor of a claimed folder; it ends when our end of its standard input closes."""
    script = supervisor_script()
    with socket.socket(socket.AF_UNIX) as listener, (claim.folder / "supervisor.log").open("wb") as log:
        listener.bind(str(claim.folder / _SOCKET))
        listener.listen()
        inherited = (listener.fileno(), claim.lock.fileno())
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(script), str(claim.folder), *map(str, inherited)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=inherited,
            start_new_session=True,
            cwd="/",
        )


_READY_WITHIN = 60.0
_PAUSE = 0.05


def wait_for(control: Control, program: str, log: Path, what: str, reached: Callable[[], bool]) -> None:
    """Wait until `reached`; a SandboxError if `program` ends before or takes too long."""
    deadline = time.monotonic() + _READY_WITHIN
    while not reached():
        ended = control.programs()[program].ended
        if ended is not None:
            raise SandboxError(_about(program, log, f"ended with code {ended} before it was {what}"))
        if time.monotonic() > deadline:
            raise SandboxError(_about(program, log, f"was not {what} within {_READY_WITHIN:.0f} s"))
        time.sleep(_PAUSE)


def _about(program: str, log: Path, trouble: str) -> str:
    return f"{program} {trouble}; the end of its log:\n{log_tail(log)}"
