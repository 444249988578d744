"""The operator as a process of its own, as a test starts, asks, kills and ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Self

from tests.support.forked_cli import Forked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["BEGUN", "Operator"]

_PROGRAM = ("-m", "keyturn")
_START = 30.0
_END = 15.0
_LOST = 1
"""The exit code of one that may lead no more, and of one that has a defect."""
BEGUN: set[Path] = set()
"""The log of every operator that this process has started."""


class Operator:
    """One operator process; used as a context it ends with the block, whatever happens in it."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        program: tuple[str, ...] = (),
        python: str = sys.executable,
        under: tuple[str, ...] = (),
        patience: float = _START,
    ) -> None:
        """Take the arguments of `keyturn run`; without any it serves all namespaces.

        With a program, such as `-m keyturn`, the interpreter starts it; without one the operator is forked.
        `under` is a command that becomes the operator, such as `unshare` with its options. `patience` is how long
        its start may take.
        """
        self._patience = patience
        self._program = (*under, python, *(program or _PROGRAM)) if program or under else ()
        self._arguments = arguments or ("--all-namespaces",)
        self._env = {**os.environ, "KUBECONFIG": str(kubeconfig), **(env or {})}
        self.log = log
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._file: IO[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it serves its ports; more than once after its ends."""
        BEGUN.add(self.log)
        self._file = self.log.open("ab")
        self._offset = self.log.stat().st_size
        options = ["run", "--verbose", "--log-format=json", "--metrics-port=0", "--health-port=0"]
        self._process = self._begin([*options, *self._arguments], self._file)
        try:
            self._ports = self.wait_for_log("started", self._patience)
        except BaseException:
            self.kill()
            raise
        return self

    def _begin(self, arguments: list[str], log: IO[bytes]) -> subprocess.Popen[bytes] | Forked:
        if not self._program:
            return Forked(arguments, self._env, stdout=log, stderr=log)
        return subprocess.Popen([*self._program, *arguments], env=self._env, stdout=log, stderr=log)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        assert self._process
        return self._process.poll()

    def lines(self) -> list[dict[str, Any]]:
        """Return what this process has logged since its last start."""
        text = self.log.read_bytes()[self._offset :].decode()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def wait_for_log(self, event: str, timeout: float = _START) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for line in self.lines():
                if line.get("event") == event:
                    return line
            assert self.returncode is None, f"the operator ended with {self.returncode}: see {self.log}"
            time.sleep(0.05)
        raise AssertionError(f"the operator did not log {event!r} within {timeout} s: see {self.log}")

    def wait_for_death(self, timeout: float = _START) -> int:
        """Wait until it has ended by itself; return how."""
        assert self._process
        return self._process.wait(timeout)

    def wait_for_kill(self, timeout: float = _START) -> int:
        """Wait until it is killed by itself, at its failpoint; return how it has ended.

        A busy machine can keep it from renewing its Lease in time, so that it ends before. It is started again, as a
        kubelet does, and leads when the term of the one before is over.
        """
        while (code := self.wait_for_death(timeout)) == _LOST and self._was_late():
            self._close()
            self.start()
        return code

    def _was_late(self) -> bool:
        return any(line.get("why") == "not renewed in time" for line in self.lines())

    def get(self, path: str, *, health: bool = False) -> tuple[int, str]:
        """Ask it over HTTP: /metrics, or with `health` /livez and /readyz."""
        port = self._ports["health_port" if health else "metrics_port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def looks(self) -> int:
        """Return how many objects it has looked at since its start."""
        return self._count("keyturn_reconcile_seconds_count")

    def has_looked(self, objects: int) -> bool:
        """Say whether it has looked at each of so many objects: that is so only where none waits for a look."""
        return self.looks() >= objects and self._count("keyturn_queue_depth") == 0

    def _count(self, metric: str) -> int:
        _, text = self.get("/metrics")
        counts = (line for line in text.splitlines() if line.startswith(metric))
        return sum(int(float(line.split()[-1])) for line in counts)

    def stop(self) -> float:
        """Ask it to end with SIGTERM; return how many seconds that took."""
        assert self._process
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_END)
        self._close()
        return time.monotonic() - began

    @contextmanager
    def away(self) -> Iterator[float]:
        """Stop it for a block, and have it lead again afterwards; yield how many seconds the end took."""
        seconds = self.stop()
        try:
            yield seconds
        finally:
            self.start()
            self.wait_for_log("leading")

    def kill(self) -> None:
        """End it as the kernel would: at once, wherever it is."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_END)
        self._close()

    def _close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
