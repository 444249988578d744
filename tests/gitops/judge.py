"""What kstatus and Flux say of objects: a program around their own libraries, built once into the cache."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.goprogram import built
from tests.support.objects import Body

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
    return built(_MODULE, "judge", _PATIENCE)
