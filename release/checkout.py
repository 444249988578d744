"""What a release and its image are made of: a commit, what differs from it, and one version in all files."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from keyturn import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]
_PATIENCE: Final = 900.0


class ReleaseError(Exception):
    """It cannot be made; the sentence says why."""


def run(command: Sequence[str | Path], *, folder: Path | None = None, **environment: str) -> str:
    """Run a program with more variables in its environment; return what it prints.

    Raises:
        ReleaseError: It failed; the sentence ends with what it said.
    """
    done = subprocess.run(
        [str(one) for one in command],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    if done.returncode != 0:
        raise ReleaseError(f"{Path(command[0]).name} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def committed() -> int:
    """Return when the commit was made that is checked out: seconds since 1970, which files in archives have.

    Raises:
        ReleaseError: There is none, or the checkout differs from it.
    """
    try:
        changes = _git("status", "--porcelain", "--untracked-files=all").splitlines()
        seconds = int(_git("log", "-1", "--format=%ct"))
    except (ReleaseError, OSError) as error:
        raise ReleaseError(f"a release is made from a git checkout with a commit: {error}") from error
    if changes:
        listed = "".join(f"\n  {line[3:]}" for line in changes[:10])
        raise ReleaseError(f"the checkout differs from its commit; commit first:{listed}")
    return seconds


def _git(*arguments: str) -> str:
    return run(["git", "-C", ROOT, *arguments]).strip("\n")


def check_version(wanted: str) -> None:
    """Refuse a version that differs from that of the code, the chart or the manifests; the sentence names each."""
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", wanted):
        raise ReleaseError(f"{wanted!r} is no version; write one such as {__version__}, without a leading v")
    chart, deployment = "charts/keyturn/Chart.yaml", "manifests/base/operator/deployment.yaml"
    described, pod = _yaml(chart), _yaml(deployment)["spec"]["template"]["spec"]
    versions = {
        "__version__ in operator/keyturn/__init__.py": __version__,
        f"version in {chart}": str(described["version"]),
        f"appVersion in {chart}": str(described["appVersion"]),
        f"the image's tag in {deployment}": pod["containers"][0]["image"].rpartition(":")[2],
    }
    if listed := "".join(f"\n  {place}: {found}" for place, found in versions.items() if found != wanted):
        raise ReleaseError(
            f"the release is to be {wanted}, but these say otherwise; change them, or VERSION:{listed}"
        )


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


@dataclass(frozen=True, slots=True)
class Source:
    """The files of an image, as they are now."""

    digest: str
    revision: str | None
    """The last commit that changed one of them; None where there is no history."""
    created: str
    """The time of that commit."""


def source() -> Source:
    """Read what the image is built of now: .dockerignore lists what the builder gets, and leaves out all else."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    names = [*(line[1:] for line in lines if line.startswith("!")), "Dockerfile", ".dockerignore"]
    try:
        revision, _, seconds = _git("log", "-1", "--format=%H %ct", "--", *names).partition(" ")
        if revision and _git("status", "--porcelain", "--", *names):
            revision += "-dirty"
    except (ReleaseError, OSError):
        revision = seconds = ""
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH") or seconds or "0"), UTC)
    return Source(_digest(names), revision or None, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _digest(names: list[str]) -> str:
    content = hashlib.sha256()
    found = [path for name in names for path in (ROOT / name, *(ROOT / name).rglob("*"))]
    for path in sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts):
        file, mode = path.read_bytes(), path.stat().st_mode & 0o111
        content.update(f"{path.relative_to(ROOT)} {mode:o} {len(file)}\n".encode() + file)
    return content.hexdigest()
