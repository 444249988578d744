"""What kstatus and Flux say of objects: a program around their own libraries, built once into the cache."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sandbox import build, golang

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.objects import Body

__all__ = ["CHECKS", "Verdict", "judge", "program"]

_MODULE = Path(__file__).with_name("judge-go")
_FLUX = Path(__file__).parents[2] / "manifests" / "gitops" / "flux" / "health-checks.yaml"
CHECKS: list[dict[str, str]] = yaml.safe_load(_FLUX.read_text())["spec"]["healthCheckExprs"]
_PATIENCE = 250.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What each tool would show for an object."""

    kstatus: str
    message: str
    """What kstatus says with it."""
    flux: str
    """Empty where an expression had no answer, which Flux waits on."""


def judge(bodies: Iterable[Body]) -> list[Verdict]:
    """Judge objects as the API server hands them out."""
    done = subprocess.run(
        [program(), json.dumps(CHECKS)],
        input="\n".join(map(json.dumps, bodies)),
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return [_verdict(json.loads(line)) for line in done.stdout.splitlines()]


def _verdict(said: Any) -> Verdict:
    return Verdict(said["kstatus"], said["message"], said["flux"])


def program() -> Path:
    """Return the program, and build it first where this machine never did."""
    folder = build._cache() / f"judge-{_key()}"
    with build._only_builder(folder):
        if not folder.exists():
            _compile(folder)
    return folder / "judge"


def _key() -> str:
    """Name the folder by all that decides what is built."""
    sources = sorted(_MODULE.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _compile(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        command = ["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made / "judge"), "."]
        done = subprocess.run(
            [str(golang.find_go(folder.parent)), *command],
            cwd=_MODULE,
            env=golang.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        made.rename(folder)
