"""What a release and its image are made of: a commit, what differs from it, and one version in all files."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from keyturn import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[1]


class ReleaseError(Exception):
    """It cannot be made; the sentence says why."""


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


def _git(*arguments: str, required: bool = True) -> str:
    """Run git; an image can be built where there is no history, a release cannot."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        if not required:
            return ""
        raise ReleaseError("there is no git on PATH, which knows what is released; install it") from error
    if done.returncode != 0 and required:
        raise ReleaseError(f"a release is made from a git checkout with a commit: {done.stderr.strip()}")
    return done.stdout.strip("\n")


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
    chart = yaml.safe_load((ROOT / "charts" / "keyturn" / "Chart.yaml").read_text())
    deployment = ROOT / "manifests" / "base" / "operator" / "deployment.yaml"
    pod = yaml.safe_load(deployment.read_text())["spec"]["template"]["spec"]
    return {
        "__version__ in operator/keyturn/__init__.py": __version__,
        "version in charts/keyturn/Chart.yaml": str(chart["version"]),
        "appVersion in charts/keyturn/Chart.yaml": str(chart["appVersion"]),
        "the image's tag in manifests/base/operator/deployment.yaml": pod["containers"][0][
            "image"
        ].rpartition(":")[2],
    }


@dataclass(frozen=True, slots=True)
class Source:
    """The files of an image, as they are now."""

    digest: str
    revision: str | None
    """The last commit that changed one of them; None where there is no history."""
    seconds: int
    """The time of that commit, which every file of the image has."""

    @property
    def created(self) -> str:
        return datetime.fromtimestamp(self.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def source() -> Source:
    """Read what the image is built of now."""
    names = [*_sent(), "Dockerfile", ".dockerignore"]
    found, _, seconds = _git("log", "-1", "--format=%H %ct", "--", *names, required=False).partition(" ")
    if found and _git("status", "--porcelain", "--", *names, required=False):
        found += "-dirty"
    chosen = os.environ.get("SOURCE_DATE_EPOCH") or seconds or "0"
    return Source(_digest(names), found or None, int(chosen))


def _sent() -> list[str]:
    """Name what the builder gets: .dockerignore lists it, and leaves out all else."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line[1:] for line in lines if line.startswith("!")]


def _digest(names: list[str]) -> str:
    content = hashlib.sha256()
    for path in sorted(path for name in names for path in _files(ROOT / name)):
        file = path.read_bytes()
        content.update(
            f"{path.relative_to(ROOT)} {path.stat().st_mode & 0o111:o} {len(file)}\n".encode() + file
        )
    return content.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for below in path.iterdir() if path.is_dir() else ():
        if below.name != "__pycache__":
            yield from _files(below)
