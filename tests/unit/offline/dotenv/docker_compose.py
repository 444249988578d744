"""What docker compose makes of files: the command itself, which needs no engine to read them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_COMPOSE = Path(sys.executable).with_name("docker-compose")
_NO_DOTENV = f"--env-file={os.devnull}"
"""Compose itself would read a file .env that lies beside, and fill its variables in."""


def dotenv(path: Path) -> dict[str, str]:
    """Read a .env file as that of a service."""
    service = {"image": "none", "env_file": [str(path)]}
    project = _said(
        ["--file=-", _NO_DOTENV], path.parent, given={"name": "one", "services": {"one": service}}
    )
    found: dict[str, str] = project["services"]["one"].get("environment", {})
    # What it prints is a compose file again, in which a dollar sign is written twice.
    return {name: text.replace("$$", "$") for name, text in found.items()}


def config(*paths: Path) -> Any:
    """Hold compose files against the schema, and return the project: `docker compose config`."""
    return _said([f"--file={path}" for path in paths], paths[0].parent)


def _said(options: Sequence[str], folder: Path, given: object = None) -> Any:
    done = subprocess.run(
        [_COMPOSE, "--project-name=judged", *options, "config", "--format=json"],
        env={"PATH": os.environ["PATH"], "HOME": "/somewhere/else"},
        input=None if given is None else json.dumps(given),
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
