"""What the tests of the sandbox look at the world with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_BESIDE_PYTHON = Path(sys.executable).with_name("kubectl")
_KUBECTL = str(_BESIDE_PYTHON if _BESIDE_PYTHON.exists() else shutil.which("kubectl"))
_DEADLINE = 30.0


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

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds, or fail."""
    deadline = time.monotonic() + _DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of running processes that name `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        if str(folder).encode() in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def somebody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
