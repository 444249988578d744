"""Runs `keyturn` as a process with a kubeconfig and an otherwise empty environment."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.forked_cli import run

BIN = Path(sys.executable).parent
_TIMES = re.compile(r"\b(\d+[smhd])+ ago\b|\bin (\d+[smhd])+|\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


@dataclass(frozen=True, slots=True)
class Console:
    """`keyturn` for one namespace."""

    kubeconfig: Path | None
    namespace: str
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith("KUBE")}
        named = {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}
        return {**inherited, "PATH": f"{BIN}:{os.environ['PATH']}", **named, **self.env}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the console script itself, for a test that speaks with it while it runs."""
        return subprocess.Popen(
            ["keyturn", *arguments, *self._place(arguments)],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return run([*arguments, *self._place(arguments)], self.environment(), given=given, timeout=120)

    def _place(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """Return --namespace, except for an emergency that names its namespaces itself."""
        names_others = arguments[:1] == ("emergency",) and not {"-A", "--in"}.isdisjoint(arguments)
        return () if names_others else ("--namespace", self.namespace)

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        """Run a command that must succeed; return what it prints."""
        done = self.run(*arguments, given=given)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def json(self, *arguments: str, given: str | None = None) -> Any:
        return json.loads(self(*arguments, "-o", "json", given=given))

    def refusal(self, *arguments: str) -> str:
        """Run a command that must fail with one sentence; return it."""
        done = self.run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        return done.stderr.removeprefix("Error: ").strip()


def cells(text: str) -> list[list[str]]:
    """Read a table, with every time as `<time>`."""
    return [re.split(r" {3,}", _TIMES.sub("<time>", line)) for line in text.splitlines()]
