"""A real Helm, built from its own module once into the cache, and what the chart becomes by it."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from sandbox import build, golang

__all__ = ["BUILD_SECONDS", "CHART", "ROOT", "Refused", "helm", "render", "run"]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "keyturn"
BUILD_SECONDS = 1200
"""Minutes where nothing of it is in Go's cache; seconds for one who has the program."""
_MODULE = Path(__file__).with_name("helm-go")


class Refused(Exception):  # noqa: N818  # what Helm says is no error of ours
    """Helm does not take the values; its own words."""


@functools.cache
def render(*arguments: str) -> list[dict[str, Any]]:
    """Return the objects that the chart becomes, CRDs included, as a release keyturn in keyturn-system."""
    done = run("template", "keyturn", str(CHART), "--include-crds", "--namespace=keyturn-system", *arguments)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return [body for body in yaml.safe_load_all(done.stdout) if body]


def helm(*arguments: str) -> str:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with nothing of this user's: no kubeconfig, no plugins, no caches."""
    with tempfile.TemporaryDirectory() as home:
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
        return subprocess.run(
            [_program(), *arguments],
            env={
                **ours,
                "HOME": home,
                "XDG_CACHE_HOME": home,
                "XDG_CONFIG_HOME": home,
                "XDG_DATA_HOME": home,
            },
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )


@functools.cache
def _program() -> Path:
    folder = build._cache() / f"helm-{_key()}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with build._only_builder(folder):
        if not folder.exists():
            _compile(folder)
    return folder / "helm"


def _key() -> str:
    """Name the folder by all that decides what is built."""
    sources = sorted(_MODULE.iterdir())
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _compile(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        command = ["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", str(made / "helm")]
        done = subprocess.run(
            [str(golang.find_go(folder.parent)), *command, "helm.sh/helm/v4/cmd/helm"],
            cwd=_MODULE,
            env=golang.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        made.rename(folder)
