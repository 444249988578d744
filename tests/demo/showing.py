"""The demo as a process of its own: started so that all it makes can be found, heard, and looked for afterwards."""

import base64
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

import demo
from tests.sandbox.helpers import processes_of
from tests.support.objects import Objects, Refused

_ROOT = Path(demo.__file__).parents[1]


def begin(scratch: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo so that all it makes on this machine is below `scratch`."""
    places = {"XDG_RUNTIME_DIR": str(scratch), "TMPDIR": str(scratch)}
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=_ROOT,
        env={**os.environ, **places},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what the demo says up to the line with `text`, or to its end."""
    said = ""
    for line in process.stdout or ():
        said += line
        if text in line:
            break
    return said


def left_behind(scratch: Path) -> list[str]:
    """Name the folders and the processes that a demo has not removed."""
    folders = [path.name for path in scratch.rglob("*") if path.is_dir() and path.name != "keyturn-sandbox"]
    return folders + processes_of(scratch)


class ValueCollector:
    """Reads the Secret of the demo in a loop, as an admin can, and collects each value, plain and in base64."""

    def __init__(self, kubeconfig: Path) -> None:
        self.heard: set[str] = set()
        self._kubeconfig = kubeconfig
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=60)

    def _listen(self) -> None:
        with Objects.of(self._kubeconfig) as objects:
            while not self._over.wait(0.2):
                with suppress(Refused, ApiException, HTTPError):  # the demo may have ended its cluster
                    found = objects.find("Secret", "shop", "auth-secrets") or {}
                    for encoded in (found.get("data") or {}).values():
                        self.heard |= {encoded, base64.b64decode(encoded).decode()}
