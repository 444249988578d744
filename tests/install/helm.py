"""A real Helm, built from its own module once into the cache, and what the chart becomes by it."""

import atexit
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from release import chart
from tests.support.goprogram import built

ROOT = Path(__file__).parents[2]
_SCRATCH = tempfile.TemporaryDirectory(prefix="keyturn-chart-")
atexit.register(_SCRATCH.cleanup)
CHART = chart.assemble(Path(_SCRATCH.name))
"""The chart, assembled as by `make chart`, for as long as the tests run."""
IMAGE = "--set=image.repository=keyturn.invalid/keyturn"
"""The name that manifests/base has; the chart has none."""
BUILD_SECONDS = 1200
"""Minutes where nothing of it is in Go's cache; seconds for one who has the program."""
_MODULE = Path(__file__).with_name("helm-go")


class Refused(Exception):  # noqa: N818  # what Helm says is no error of ours
    """Helm does not take the values; its own words."""


@functools.cache
def render(*arguments: str) -> list[dict[str, Any]]:
    """Return the objects that the chart becomes as a release keyturn in keyturn-system."""
    done = run("template", "keyturn", str(CHART), "--namespace=keyturn-system", IMAGE, *arguments)
    if done.returncode != 0:
        raise Refused(done.stderr)
    bodies = yaml.load_all(done.stdout, Loader=yaml.CSafeLoader)
    return [body for body in bodies if body]


def helm(*arguments: str) -> str:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with nothing of this user's: no kubeconfig, no plugins, no caches."""
    with tempfile.TemporaryDirectory() as home:
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
        return subprocess.run(
            [program(), *arguments],
            env={
                "GOGC": "400",  # a short process reads manifests in a fifth less time
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
def program() -> Path:
    return built(_MODULE, "helm", BUILD_SECONDS, package="helm.sh/helm/v4/cmd/helm")
