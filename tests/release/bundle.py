"""What the validators of the Operator Framework say of a bundle: a program around them, built once into the cache."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.goprogram import built

__all__ = ["BUILD_SECONDS", "program", "verdict"]

BUILD_SECONDS = 600
"""A minute on two idle cores; seconds for one who has the cache."""
_MODULE = Path(__file__).with_name("bundle-go")


def verdict(folder: Path) -> Any:
    done = subprocess.run([program(), folder], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def program() -> Path:
    """Return the program, and build it first where this machine never did."""
    return built(_MODULE, "bundle", BUILD_SECONDS)
