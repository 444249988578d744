"""The operator as a process: its start, its log, its ports and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, Self

from .kubectl import HarnessError

_START_TIMEOUT = 30.0
_END_TIMEOUT = 15.0
_POLL_INTERVAL = 0.05


class Process(Protocol):
    """What the harness needs of a process; `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...

    def kill(self) -> None: ...


class Operator:
    """One operator process; as a context manager it is killed at the end of the block."""

    options: ClassVar[tuple[str, ...]] = ("--log-format=json", "--metrics-port=0", "--health-port=0")
    """The options that each start has."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "keyturn"),
        start_timeout: float = _START_TIMEOUT,
    ) -> None:
        """Take the arguments of `keyturn run`; without any, the operator watches all namespaces."""
        self._command = command
        self._arguments = ("run", *self.options, *(arguments or ("--all-namespaces",)))
        self._env = {**os.environ, "KUBECONFIG": str(kubeconfig), **(env or {})}
        self._start_timeout = start_timeout
        self.log = log
        self._process: Process | None = None
        self._file: IO[bytes] | None = None
        self._offset = 0
        self._ports: dict[str, Any] = {}

    def start(self) -> Self:
        """Start it, and wait until it serves its ports; it can start again after its end."""
        self.begin()
        try:
            self.wait_for_log("started", self._start_timeout)
        except BaseException:
            self.kill()
            raise
        return self

    def begin(self) -> None:
        """Start it, and do not wait."""
        self._file = self.log.open("ab")
        self._offset = self.log.stat().st_size
        self._ports = {}
        self._process = self._spawn(self._arguments, self._env, self._file)

    def _spawn(self, arguments: tuple[str, ...], env: Mapping[str, str], log: IO[bytes]) -> Process:
        """Start the process; a subclass may start it in another way."""
        command = [*self._command, *arguments]
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def _started(self) -> Process:
        if self._process is None:
            raise HarnessError("the operator has not been started")
        return self._process

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        return self._started.poll()

    def lines(self, text: str = "") -> list[dict[str, Any]]:
        """Return what this process has logged since its last start, in lines that contain `text`."""
        with self.log.open(encoding="utf-8") as log:
            log.seek(self._offset)
            # The last line may be incomplete; a long log has more lines than a wait can parse at each look.
            whole = (line for line in log if line.startswith("{") and line.endswith("\n"))
            return [json.loads(line) for line in whole if text in line]

    def wait_for_log(self, event: str, timeout: float = _START_TIMEOUT) -> dict[str, Any]:
        """Wait until the operator logs an event, and return that line.

        Raises:
            HarnessError: It ended before, or the timeout is over.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            code = self.returncode  # before the log, which has all its lines when it has ended
            for line in self.lines(event):
                if line.get("event") == event:
                    return line
            if code is not None:
                raise HarnessError(f"the operator ended with {code}: see {self.log}")
            time.sleep(_POLL_INTERVAL)
        raise HarnessError(f"the operator did not log {event!r} within {timeout} s: see {self.log}")

    def port(self, name: str) -> int:
        """Return a port that it serves: `metrics_port` or `health_port`."""
        self._ports = self._ports or self.wait_for_log("started", self._start_timeout)
        return int(self._ports[name])

    def get(self, path: str, *, health: bool = False) -> tuple[int, str]:
        """Send it an HTTP request: /metrics, or with `health` /livez and /readyz."""
        port = self.port("health_port" if health else "metrics_port")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def wait_for_end(self, timeout: float = _START_TIMEOUT) -> int:
        """Wait until it has ended, and return its exit code."""
        return self._started.wait(timeout)

    def stop(self) -> float:
        """End it with SIGTERM, and return how many seconds that took; an end that takes too long is an error."""
        began = time.monotonic()
        self._started.send_signal(signal.SIGTERM)
        self._started.wait(_END_TIMEOUT)
        self._close()
        return time.monotonic() - began

    def end(self) -> None:
        """End it with SIGTERM, after a timeout with SIGKILL; an operator that has ended is success."""
        try:
            if self._process:
                self.stop()
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_END_TIMEOUT)
        self._close()

    def _close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
