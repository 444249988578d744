"""How tests look at a cluster: kubectl, and patience with an end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BESIDE_PYTHON = Path(sys.executable).with_name("kubectl")
_KUBECTL = str(_BESIDE_PYTHON if _BESIDE_PYTHON.exists() else shutil.which("kubectl"))
_DEADLINE = 60.0


class Kubectl:
    """kubectl with one kubeconfig; every call has a timeout."""

    def __init__(self, kubeconfig: Path) -> None:
        self._command = (_KUBECTL, f"--kubeconfig={kubeconfig}", "--request-timeout=20s")

    def run(self, *arguments: str, given: object = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            input=None if given is None else json.dumps(given),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def __call__(self, *arguments: str, given: object = None) -> str:
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def begin(self, *arguments: str, into: Path) -> subprocess.Popen[str]:
        """Start what has no end of its own; the caller ends it."""
        with into.open("w") as out:
            command = [*self._command[:2], *arguments]
            return subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, text=True)

    def json(self, *arguments: str, given: object = None) -> Any:
        return json.loads(self(*arguments, "-o", "json", given=given))


def eventually(
    holds: Callable[[], bool],
    what: str = "it",
    timeout: float = _DEADLINE,
    instead: Callable[[], object] | None = None,
) -> None:
    """Wait until something holds, or fail and say what did not come true, and what there is `instead`."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() >= deadline:
            there = f": {instead()}" if instead else ""
            raise AssertionError(f"{what} did not come true within {timeout:.0f} s{there}")
        time.sleep(0.05)


def deployment(name: str, *, replicas: int = 3, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations or {}},
                "spec": {"containers": [{"name": "main", "image": "example.org/none"}]},
            },
        },
    }
