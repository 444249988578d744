"""`keyturn ui` as a process of tests."""

import os
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.harness import eventually
from tests.support.forked_cli import Forked
from tests.support.operator import BEGUN


@dataclass(frozen=True, slots=True)
class WebUi:
    """A running `keyturn ui`, and what it prints."""

    process: Forked
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def url(self) -> str:
        return next(word for word in self.text.split() if word.startswith("http://"))

    def get(self, path: str = "") -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=20) as answer:  # noqa: S310
            return bytes(answer.read())

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it as Ctrl-C does, and return its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            raise AssertionError("it does not end") from None


@contextmanager
def web_ui(kubeconfig: Path, folder: Path, *options: str, **environment: str) -> Iterator[WebUi]:
    """Serve the pages with the rights of a kubeconfig until the end of the block."""
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".out", delete=False) as file:
        arguments = ["ui", f"--kubeconfig={kubeconfig}", *options]
        variables = {"HOME": str(folder), "PATH": os.environ["PATH"], **environment}
        process = Forked(arguments, variables, stdout=file, stderr=file)
    ui = WebUi(process, Path(file.name))
    BEGUN.add(ui.output)
    try:
        eventually(lambda: ui.text.count("\n") >= 2, "the address", instead=lambda: ui.text)
        yield ui
    finally:
        process.kill()
        process.wait(20)
