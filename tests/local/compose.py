"""What docker compose makes of files: a program around its own library, built once into the cache."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.goprogram import built

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["config", "dotenv", "program"]

_MODULE = Path(__file__).with_name("compose-go")
_PATIENCE = 250.0


def dotenv(path: Path) -> dict[str, str]:
    """Read a .env file."""
    found: dict[str, str] = _said("dotenv", [path])
    return found


def config(*paths: Path) -> Any:
    """Hold compose files against the schema, and return the project; this is `docker compose config`."""
    return _said("config", paths)


def _said(what: str, paths: Sequence[Path]) -> Any:
    done = subprocess.run(
        [program(), what, *paths],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=paths[0].parent,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def program() -> Path:
    """Return the program, and build it first where this machine never did."""
    return built(_MODULE, "compose", _PATIENCE)
