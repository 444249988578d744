"""The screen, and kubectl and keyturn as a user types them: it shows the line, then its output.

Only `digests` and `variables` read values; no line shows one.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape

from sandbox import harness
from sandbox.harness import HarnessError, eventually
from sandbox.harness.installation import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

LIMIT: Final = 600.0
"""Seconds, which only a machine misses that does nothing."""


class Screen:
    """Titles, commands with their output, and what came true after how long; colours on a terminal only."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._section = 0
        self._started = time.monotonic()

    def title(self, text: str) -> None:
        self._section += 1
        self._console.print(f"\n[bold cyan]{self._section}. {escape(text)}[/]")

    def end(self, text: str) -> None:
        seconds = time.monotonic() - self._started
        self._console.print(f"\n[bold green]{escape(text)}[/] [dim]({seconds:.1f} s)[/]")

    def say(self, text: str) -> None:
        self._console.print(f"   {escape(text)}")

    def command(self, line: str) -> None:
        self._console.print(f"   [bold]$ {escape(line)}[/]")

    def output(self, text: str) -> None:
        for line in text.rstrip().splitlines():
            self._console.print(f"     [dim]{escape(line.rstrip())}[/]")

    def change(self, seconds: float, text: str) -> None:
        self._console.print(f"     [dim]+{seconds:4.1f} s[/]  {escape(text)}")

    def tick(self, text: str, seconds: float | None = None) -> None:
        after = "" if seconds is None else f" [dim]({seconds:.1f} s)[/]"
        self._console.print(f"   [green]✓[/] {escape(text)}{after}")

    def cross(self, text: str) -> None:
        self._console.print(f"   [bold red]✗[/] {escape(text)}")

    def check(self, claim: str, holds: bool) -> None:  # noqa: FBT001 - it is the answer
        """Show that a claim holds.

        Raises:
            HarnessError: It does not.
        """
        if not holds:
            raise HarnessError(f"{claim}: no")
        self.tick(f"{claim}: yes")

    def question(self, text: str) -> bool:
        """Ask a question; the end of the input counts as no."""
        try:
            return self._console.input(f"   {escape(text)} \\[y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            self._console.print()
            return False

    @contextmanager
    def progress(self, doing: str, done: str) -> Iterator[None]:
        """Show that a block runs, and for how long it ran once it has succeeded."""
        began = time.monotonic()
        is_alive = self._console.is_terminal
        with self._console.status(f"{escape(doing)} …") if is_alive else nullcontext():
            yield
        self.tick(done, time.monotonic() - began)


class Terminal:
    """Commands with one kubeconfig, relative to the checkout; each has a timeout."""

    def __init__(self, screen: Screen, kubeconfig: Path | None = None) -> None:
        """Without a kubeconfig, use the user's own."""
        self.kubectl = harness.Kubectl(kubeconfig, request_timeout=None, timeout=LIMIT, folder=ROOT)
        self.screen = screen
        self._environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}

    def show(self, line: str) -> None:
        """Show a command, run it, and show its output.

        Raises:
            HarnessError: It failed.
        """
        self.screen.command(f"kubectl {line}")
        self.screen.output(self.quiet(line))

    def show_counts(self, line: str) -> None:
        """Show a command, run it, and show how many objects of each kind it names.

        Raises:
            HarnessError: It failed.
        """
        self.screen.command(f"kubectl {line}")
        kinds = Counter(one.partition("/")[0].partition(".")[0] for one in self.quiet(line).splitlines())
        counts = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
        self.screen.output(f"{kinds.total()} objects: {counts}")

    def show_keyturn(self, line: str) -> None:
        """Show a command of Keyturn's own command line, run it, and show its output.

        Raises:
            HarnessError: It has no output; an exit code other than 0 can be a finding.
        """
        self.screen.command(f"keyturn {line}")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "keyturn", *shlex.split(line)],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                text=True,
                timeout=LIMIT,
            )
        except subprocess.TimeoutExpired:
            raise HarnessError(f"keyturn {line}\ndid not end within {LIMIT:.0f} s") from None
        if not done.stdout:
            raise HarnessError(f"keyturn {line}\n{done.stderr.strip()}")
        self.screen.output(done.stdout)

    def quiet(self, line: str) -> str:
        """Run a command and return its output, which may hold what is not to be shown.

        Raises:
            HarnessError: It failed.
        """
        return self.kubectl(*shlex.split(line))

    def json(self, line: str) -> Any:
        return self.kubectl.json(*shlex.split(line))

    def follow(
        self,
        secret: str,
        has_ended: Callable[[Any], bool],
        more: Callable[[Any], str] = lambda _: "",
        beside: Callable[[], str] = lambda: "",
    ) -> None:
        """Show each change of a ManagedSecret's status, with `more` of it and what is `beside` it, until one ends it.

        Raises:
            HarnessError: That takes too long.
        """
        began, last = time.monotonic(), ""

        def is_over() -> bool:
            nonlocal last
            status = self.json(f"get ms {secret} -n shop").get("status", {})
            if (line := f"{_described(status)}{more(status)}") != last:
                self.screen.change(time.monotonic() - began, f"{line}{beside()}")
                last = line
            return has_ended(status)

        eventually(is_over, "the end of the rotation", LIMIT)


def _described(status: dict[str, Any]) -> str:
    """Describe the progress of a rotation in one line."""
    step = status.get("rotation", {}).get("step", "at rest")
    workloads = ", ".join(f"{one['name']} {one['state']}" for one in status.get("workloads", ()))
    return f"revision {status.get('revision')}  {step:8}  {workloads}"


def runs(revision: int) -> Callable[[dict[str, Any]], bool]:
    """Return a check: every workload runs the revision, and no rotation is in progress."""

    def has_ended(status: dict[str, Any]) -> bool:
        current = all(one["state"] == "Current" for one in status.get("workloads", ()))
        return status.get("revision") == revision and "rotation" not in status and current

    return has_ended


def was_rolled_back(status: dict[str, Any]) -> bool:
    """Return whether Keyturn rolled back, because a workload did not become ready."""
    return any((one["type"], one["reason"]) == ("Stalled", "RolledBack") for one in status["conditions"])


# The values of a Secret: compared with earlier ones, and handed to processes

# Random for each process: without the key a digest reveals nothing about a value.
_KEY = secrets.token_bytes(32)


def digests(terminal: Terminal, name: str) -> Mapping[str, str]:
    """Return a digest of each value of a Secret, by key."""
    data = terminal.json(f"get secret {name} -n shop").get("data", {})
    return {
        key: hmac.digest(_KEY, base64.b64decode(value), "sha256").hex() for key, value in sorted(data.items())
    }


def variables(terminal: Terminal, name: str, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that a kubelet makes of a Secret, for the process of one container."""
    data = terminal.json(f"get secret {name} -n shop")["data"]
    return {variable: base64.b64decode(data[key]).decode() for variable, key in keys.items()}
