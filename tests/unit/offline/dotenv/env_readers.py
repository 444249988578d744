"""How a .env file is read by those who read one: python-dotenv, docker compose, shells."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from dotenv import dotenv_values

from tests.unit.offline.dotenv import docker_compose


def _python(path: Path) -> Mapping[str, str | None]:
    return dotenv_values(path)


def _shell(*shell: str) -> Callable[[Path], Mapping[str, str | None]]:
    def read(path: Path) -> Mapping[str, str | None]:
        script = 'set -a; . "$1"; exec env -0'
        done = subprocess.run(
            [*shell, "-c", script, "shell", str(path)],
            check=True,
            capture_output=True,
            timeout=20,
            env={"PATH": os.environ["PATH"], "HOME": "/somewhere/else"},
        )
        assert done.stderr == b""
        lines = (line.partition(b"=") for line in done.stdout.split(b"\0") if line)
        return {name.decode(): text.decode() for name, _, text in lines}

    return read


READERS: Mapping[str, Callable[[Path], Mapping[str, str | None]]] = {
    "python-dotenv": _python,
    "docker compose": docker_compose.dotenv,
    "dash": _shell("dash"),
    "bash": _shell("bash", "--norc"),
}
