"""An operator that is started again when it loses its Lease, as a kubelet starts it: tests run on a busy machine.

An operator that is held up for longer than the renew deadline of its Lease ends by itself. That, and no other end, is
followed by another start: one that crashes or is killed stays ended, and the next wait or assertion fails.
"""

import json
import time
from threading import RLock, Thread
from typing import Any

from sandbox.harness import HarnessError
from sandbox.harness.operator import Process
from tests.support.operator import LEADERSHIP_LOST, Operator

_START_TIMEOUT, _END_TIMEOUT, _PATIENCE = 60.0, 30.0, 90.0
_LOOK_INTERVAL = 0.05


def _is_late(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)


class KeptOperator(Operator):
    """One operator after the other, of which each but the last has lost its Lease.

    What a test asks while one starts in place of another, it asks of the next one.
    """

    def __init__(self, *arguments: Any, most_losses: int = 3, **settings: Any) -> None:
        """Take what an `Operator` takes; after more losses than `most_losses` the operator stays ended."""
        super().__init__(*arguments, **{"start_timeout": _START_TIMEOUT, **settings})
        self._turn = RLock()
        self._is_wanted = False
        self._most_losses = most_losses
        self.losses = 0
        """How often it was started again."""

    def begin(self) -> None:
        with self._turn:
            super().begin()
            self._is_wanted = True
            Thread(target=self._follow, args=(super()._started,), daemon=True).start()

    def _follow(self, process: Process) -> None:
        """Wait for the end of a process, and start the next one if it has lost its Lease."""
        process.wait()
        self.revive()

    def revive(self) -> None:
        """Start it again if it has lost its Lease, and do not wait until it leads."""
        with self._turn:
            may_start = self._is_wanted and self.losses < self._most_losses
            if may_start and super().returncode == LEADERSHIP_LOST and self.tells_of_loss():
                self.losses += 1
                self._close()
                self.begin()

    @property
    def _started(self) -> Process:
        with self._turn:
            return super()._started

    @property
    def pid(self) -> int:
        self.revive()
        return super().pid

    @property
    def returncode(self) -> int | None:
        with self._turn:
            self.revive()
            return super().returncode

    def told(self, text: str) -> list[dict[str, Any]]:
        """Return what it has logged in all, also before it was started again, in lines that contain `text`."""
        lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = (line for line in lines if line.startswith("{") and line.endswith("\n"))
        return [json.loads(line) for line in whole if text in line]

    def get(self, path: str, *, health: bool = False) -> tuple[int, str]:
        """Send it an HTTP request; one that ends without its Lease does not answer, and the next one is asked."""
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            losses = self.losses
            try:
                return super().get(path, health=health)
            except (OSError, HarnessError) as error:
                is_passing = self.losses > losses or self.tells_of_loss() or _is_late(error)
                if not is_passing or time.monotonic() > deadline:
                    raise
            self._ports = {}  # those of the next one
            time.sleep(_LOOK_INTERVAL)

    def wait_for_log(self, event: str, timeout: float = _PATIENCE) -> dict[str, Any]:
        """Wait until it logs an event; with the timeout of one that waits for the term of the one before it."""
        return super().wait_for_log(event, timeout)

    def wait_for_end(self, timeout: float = _END_TIMEOUT) -> int:
        """Wait until it has ended and is not started again, and return its exit code."""
        while True:
            self._started.wait(timeout)
            if (code := self.returncode) is not None:
                return code

    def wait_for_kill(self, timeout: float = _PATIENCE) -> int:
        return self.wait_for_end(timeout)

    def stop(self) -> float:
        with self._turn:
            self._is_wanted = False
            return super().stop()

    def kill(self) -> None:
        with self._turn:
            self._is_wanted = False
            super().kill()
