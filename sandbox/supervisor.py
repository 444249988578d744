"""Supervisor of one plane: starts all its programs, and ends them when it ends.

It runs as a script with an isolated interpreter and the standard library only, in a session of its own.
It inherits a listening socket for requests, the lock that says the plane lives, and as standard input a pipe
from its owner: the end of that pipe is the death of the owner, and then everything ends. `detach` lifts that.
A request is one JSON object on a connection of its own, answered with one JSON object.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_PATIENCE = 2.0
"""How many seconds a program gets between SIGTERM and SIGKILL if its start says nothing else."""

_PR_SET_PDEATHSIG = 1

_MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
COLLECT_LATER = {"GOGC": "300", "GOMEMLIMIT": str(_MEMORY // 2)}
"""Go's collector waits for four times the live heap, not twice: it takes a third as much of the API server's time.

From half of the machine's memory it collects more often: 100,000 objects would need the memory of other programs.
"""


class Supervisor:
    """The running programs of one plane, and the requests about them."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self._folder = folder
        self._listener = listener
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._patience: dict[str, float] = {}
        self._pid = os.getpid()
        self._libc = ctypes.CDLL(None, use_errno=True)

    def serve(self) -> socket.socket | None:
        """Answer requests until told to end (returns that connection) or until the owner is gone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if sys.stdin in ready:
                    return None
                connection, _ = self._listener.accept()
                connection.settimeout(_PATIENCE)
                request = _read(connection)
                if request.get("do") == "end":
                    return connection
                if request.get("do") == "detach":
                    selector.unregister(sys.stdin)
                _answer(connection, self._handle(request))

    def end(self) -> None:
        """End every program and remove the folder."""
        # Last started, first ended: an API server that loses its etcd waits for it and does not end.
        for name, program in reversed(self._programs.items()):
            _end(program, self._patience[name])
        shutil.rmtree(self._folder, ignore_errors=True)

    def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "start", "name": str(name), "argv": list(argv), "log": str(log), **more}:
                self._patience[name] = more.get("patience") or _PATIENCE
                return self._start(name, argv, log)
            case {"do": "stop", "name": str(name), "patience": int() | float() as patience}:
                # It keeps its place: when it starts again, it still ends before what it was started after.
                if name in self._programs:
                    _end(self._programs[name], patience)
                return {}
            case {"do": "status"}:
                return {
                    "programs": {
                        name: {"pid": one.pid, "ended": one.poll()} for name, one in self._programs.items()
                    }
                }
            case {"do": "detach"}:
                return {}
        return {"error": f"no such request: {sorted(request)}"}

    def _start(self, name: str, argv: list[str], log: str) -> dict[str, Any]:
        running = self._programs.get(name)
        if running is not None and running.poll() is None:
            return {"error": f"{name} is already running"}
        with Path(log).open("ab") as out:
            try:
                self._programs[name] = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd=self._folder,
                    env=COLLECT_LATER | os.environ,
                    preexec_fn=self._die_with_parent,  # noqa: PLW1509  # there is one thread here
                )
            except OSError as error:
                return {"error": f"{name} cannot be started: {error.strerror}"}
        return {}

    def _die_with_parent(self) -> None:
        # The kernel ends the program even if this process is killed.
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:  # killed before the line above
            os._exit(1)


def _end(program: subprocess.Popen[bytes], patience: float) -> None:
    if patience > 0:
        program.terminate()
    try:
        program.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()


def _read(connection: socket.socket) -> dict[str, Any]:
    try:
        with connection.makefile("r") as lines:
            request = json.loads(lines.readline())
    except (OSError, ValueError):
        return {}
    return request if isinstance(request, dict) else {}


def _answer(connection: socket.socket, answer: dict[str, Any]) -> None:
    with connection, suppress(OSError):  # the client is gone; the action is done
        connection.sendall(json.dumps(answer).encode() + b"\n")


def _answer_last(connection: socket.socket) -> None:
    """Answer, and leave the connection open: its end, for which the client waits, is the end of this process."""
    with suppress(OSError):  # the client is gone
        connection.sendall(b"{}")
    connection.detach()


def main(folder: str, listener_fd: str, lock_fd: str) -> None:
    """Serve until the end, then leave nothing behind."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit())
    supervisor = Supervisor(Path(folder), socket.socket(fileno=int(listener_fd)))
    asked: socket.socket | None = None
    try:
        asked = supervisor.serve()
    finally:
        for ending in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, signal.SIG_IGN)
        supervisor.end()
        os.close(int(lock_fd))
        if asked is not None:
            _answer_last(asked)


if __name__ == "__main__":
    main(*sys.argv[1:])
