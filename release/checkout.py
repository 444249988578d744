"""What a release is made of: a commit, whether the checkout is that commit, and whether all of it has one version."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from keyturn import __version__

from .errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Checkout:
    """The state of the repository."""

    commit: str
    committed: int
    """When, in seconds since 1970; files in archives have this time."""
    changes: tuple[str, ...]
    """Paths in which the checkout differs from the commit."""


def read() -> Checkout:
    """Read which commit is checked out, and what was changed since."""
    changes = _git("status", "--porcelain", "--untracked-files=all").splitlines()
    commit, committed = _git("log", "-1", "--format=%H %ct").split()
    return Checkout(commit, int(committed), tuple(line[3:] for line in changes))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_ROOT), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise ReleaseError("there is no git on PATH, which knows what is released; install it") from error
    if done.returncode != 0:
        raise ReleaseError(f"a release is made from a git checkout with a commit: {done.stderr.strip()}")
    return done.stdout


def check_version(wanted: str) -> None:
    """Refuse a version that differs from that of the code, the chart or the manifests; the sentence names each."""
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", wanted):
        raise ReleaseError(f"{wanted!r} is no version; write one such as {__version__}, without a leading v")
    if others := {place: found for place, found in _versions().items() if found != wanted}:
        listed = "".join(f"\n  {place}: {found}" for place, found in others.items())
        raise ReleaseError(
            f"the release is to be {wanted}, but these say otherwise; change them, or VERSION:{listed}"
        )


def _versions() -> Mapping[str, str]:
    """Return what each file that states the version says, by a name that finds it."""
    chart = yaml.safe_load((_ROOT / "charts" / "keyturn" / "Chart.yaml").read_text())
    deployment = _ROOT / "manifests" / "base" / "operator" / "deployment.yaml"
    pod = yaml.safe_load(deployment.read_text())["spec"]["template"]["spec"]
    return {
        "__version__ in operator/keyturn/__init__.py": __version__,
        "version in charts/keyturn/Chart.yaml": str(chart["version"]),
        "appVersion in charts/keyturn/Chart.yaml": str(chart["appVersion"]),
        "the image's tag in manifests/base/operator/deployment.yaml": pod["containers"][0][
            "image"
        ].rpartition(":")[2],
    }
