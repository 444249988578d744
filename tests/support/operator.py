"""The operator as a process of tests: forked, verbose, and killed at failpoints."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sandbox import harness
from sandbox.harness.operator import Process
from tests.support.forked_cli import CONSTANTS, Forked

_PROGRAM = ("-m", "keyturn")
_SOONER = "keyturn.core.rotation.rollout._MIN_RESTART_INTERVAL=1"
"""The constant of forks: a second between two restarts of one workload instead of ten."""
_FAILPOINT = "KEYTURN_FAILPOINT"
_UNCHECKED = "keyturn.controllers.cluster_checks._REQUEST_TIMEOUT=0"
"""The constant without which an operator asks for each of its rights at its start, over a hundred requests."""
_TIMEOUT = 90.0
LEADERSHIP_LOST = 1
"""The exit code of one that may lead no more, and of one that has a defect."""
_LATE = "not renewed in time"
_CRASHES = ("Traceback (most recent call last)", '"event": "process failed"')
"""What the log of a process has that ended by an error, of a fork and of a program."""
BEGUN: set[Path] = set()
"""The log of every operator that this process has started."""


class Operator(harness.Operator):
    """One operator process; as a context manager it is killed at the end of the block."""

    options = ("--verbose", *harness.Operator.options)

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *arguments: str,
        program: tuple[str, ...] = (),
        python: str = sys.executable,
        under: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        """Take the arguments of `keyturn run`; without any, the operator watches all namespaces.

        With a program, such as `-m keyturn`, the interpreter starts it; without one the operator is forked.
        `under` is a command that becomes the operator, such as `unshare` with its options.
        """
        self._is_forked = not (program or under)
        command = (*under, python, *(program or _PROGRAM))
        super().__init__(kubeconfig, log, *arguments, command=command, **settings)

    def begin(self) -> None:
        BEGUN.add(self.log)
        super().begin()

    def _spawn(self, arguments: tuple[str, ...], env: Mapping[str, str], log: IO[bytes]) -> Process:
        if self._is_forked:
            return Forked(arguments, _with_constants(env), stdout=log, stderr=log)
        return super()._spawn(arguments, env, log)

    def wait_for_kill(self, timeout: float = _TIMEOUT) -> int:
        """Wait until a failpoint has killed it, and return its exit code.

        On a busy machine it can fail to renew its Lease in time, and ends before the failpoint. The harness starts it
        again, as a kubelet does, and it leads when the term of the one before is over.
        """
        while (code := self.wait_for_end(timeout)) == LEADERSHIP_LOST and self.tells_of_loss():
            self._close()
            self.start()
        return code

    def revive(self) -> None:
        """Start it again, as a kubelet does, if it ended because it did not renew its Lease in time."""
        if self.has_lost_lease():
            self._close()
            self.start()

    def has_lost_lease(self) -> bool:
        """Say whether it has ended because it did not renew its Lease in time, and for no other reason.

        A crash has the same exit code, but its log has an error.
        """
        return self.returncode == LEADERSHIP_LOST and self.tells_of_loss()

    def tells_of_loss(self) -> bool:
        """Say whether it has logged the loss of its Lease since its start, and no crash."""
        told = [line for line in self.lines("leadership lost") if line["event"] == "leadership lost"]
        return bool(told) and {line["reason"] for line in told} == {_LATE} and not self._has_crashed()

    def _has_crashed(self) -> bool:
        text = self.log.read_bytes()[self._offset :].decode(errors="replace")
        return any(crash in text for crash in _CRASHES)

    def looks(self) -> int:
        """Return how many objects it has reconciled since its start."""
        return self._count("keyturn_reconcile_seconds_count")

    def has_looked(self, objects: int) -> bool:
        """Say whether it has reconciled so many objects, and its work queue is empty."""
        return self.looks() >= objects and self._count("keyturn_queue_depth") == 0

    def _count(self, metric: str) -> int:
        _, text = self.get("/metrics")
        counts = (line for line in text.splitlines() if line.startswith(metric))
        return sum(int(float(line.split()[-1])) for line in counts)

    @contextmanager
    def away(self) -> Iterator[float]:
        """Stop it for a block, and have it lead again afterwards; yield how many seconds the end took."""
        seconds = self.stop()
        try:
            yield seconds
        finally:
            self.start()
            self.wait_for_log("leading")


def _with_constants(env: Mapping[str, str]) -> Mapping[str, str]:
    """Add the constants of forks; a process that dies at a failpoint needs no answer to checks of the cluster.

    One that is frozen there has to learn what changed meanwhile before it restarts a workload: it keeps the interval.
    """
    constants = _UNCHECKED if env.get(_FAILPOINT) else _SOONER
    return {**env, CONSTANTS: f"{constants} {env.get(CONSTANTS, '')}"}
