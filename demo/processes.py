"""What the processes in real pods work with, and whether they answer: asked of themselves, by fingerprints.

The application is `sandbox/modules/apps/app`, which also sends the requests.
"""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.harness import HarnessError

from .operator import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .terminal import Terminal

_ASKS = "load --url=http://127.0.0.1:8080/ --rate=50 --for=100ms"
_END = 20.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of requests; the fingerprints are in the order in which they came first."""

    sent: int
    failed: int
    values: tuple[str, ...]

    @classmethod
    def of(cls, report: str) -> Answers:
        said = json.loads(report)
        return cls(said["sent"], said["failed"], (*said["env"], *said["file"]))


def in_use(terminal: Terminal) -> set[str]:
    """Return the fingerprints of all values that processes in the namespace work with."""
    pods = [one["metadata"] for one in terminal.json("get pods -n shop")["items"]]
    names = [pod["name"] for pod in pods if "deletionTimestamp" not in pod]
    return {value for name in names for value in _asked(terminal, name).values}


@contextmanager
def clients(command: Sequence[str]) -> Iterator[list[Answers]]:
    """Send requests during the block; the list has what came of them after it."""
    process = subprocess.Popen(
        [*command, "--for=5m"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for the demo, which then ends it
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no other thread runs now
    )
    answers: list[Answers] = []
    try:
        yield answers
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=_END)
        answers.append(Answers.of(said))
    finally:
        process.kill()
        process.wait()


def _asked(terminal: Terminal, pod: str) -> Answers:
    answers = Answers.of(terminal.quiet(f"exec {pod} -n shop -- /app {_ASKS}"))
    if not answers.values:
        raise HarnessError(f"{pod} does not say what it works with")
    return answers
