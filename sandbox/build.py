"""Builds the programs of a control plane into a cache outside the checkout, once.

Those of the newest release of Kubernetes are in a folder with etcd and kwok. An older release has a folder of its
own, with links to that etcd and kwok.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import cache, golang, releases
from .compiling import compile_parts
from .parts import CONTROL_PLANE, FLAGS, HERE, KUBERNETES, KWOK_STAGES, MODULES, PARTS, Part, go_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .releases import Release


@dataclass(frozen=True, slots=True)
class Programs:
    """A cache folder that holds every program and every kwok stage file."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / "bin" / name

    @property
    def stages(self) -> tuple[Path, ...]:
        """The stage files of the kwok module and our own, for kwok's `--config`."""
        return (*sorted((self.folder / "stages").glob("*.yaml")), *sorted((HERE / "stages").glob("*.yaml")))


def ensure(kubernetes: str | None = None) -> Programs:
    """Return the programs of a release such as "1.36", building them first if this machine never did.

    Without a name the release is that of the environment variable KEYTURN_KUBERNETES, or the newest.
    """
    release = releases.chosen(kubernetes)
    newest = Programs(cache.filled(_key(), "the control plane", _fill))
    if release == releases.newest():
        return newest
    what = f"the control plane of Kubernetes {release.name}"
    return Programs(cache.filled(_key_of_older(release), what, partial(_fill_older, release, newest)))


def _key() -> str:
    return _named(KUBERNETES, PARTS, KWOK_STAGES)


def _key_of_older(release: Release) -> str:
    return _named(release.version, release.parts, [_key()])


def _named(version: str, parts: Sequence[Part], rest: Sequence[str]) -> str:
    """Name a cache folder by all that decides what is built."""
    content = hashlib.sha256(repr((*FLAGS, *parts, *rest)).encode())
    # Only these modules: what a real node is made of is no reason to build a control plane again.
    for module in sorted({part.module for part in parts}):
        for file in sorted((MODULES / module).glob("go.*")):
            content.update(file.read_bytes())
    return f"{version}-{platform.system()}-{platform.machine()}-{content.hexdigest()[:16]}".lower()


def _fill(scratch: Path) -> None:
    _copy_stages(_compile(KUBERNETES, PARTS, scratch), scratch / "stages")


def _fill_older(release: Release, newest: Programs, scratch: Path) -> None:
    """Compile what is of the release, and link what it shares with the newest."""
    _compile(release.version, release.parts, scratch)
    for part in PARTS:
        if not (scratch / "bin" / part.name).exists():
            (scratch / "bin" / part.name).hardlink_to(newest.path(part.name))
    shutil.copytree(newest.folder / "stages", scratch / "stages")


def _compile(version: str, parts: Sequence[Part], scratch: Path) -> Path:
    """Put the programs of all parts into `scratch`; return the Go that compiled them."""
    print(
        f"sandbox: building Kubernetes {version} into {scratch.parent}, once; it takes minutes\n"
        f"sandbox: {', '.join(part.name for part in parts)}",
        file=sys.stderr,
        flush=True,
    )
    go = golang.find_go(go_needed(part.module_folder for part in parts))
    compile_parts(go, parts, scratch)
    return go


def _copy_stages(go: Path, stages: Path) -> None:
    stages.mkdir()
    found = subprocess.run(
        [str(go), "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"],
        cwd=MODULES / CONTROL_PLANE,
        env=golang.environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for stage in KWOK_STAGES:
        shutil.copyfile(Path(found.stdout.strip()) / "kustomize" / "stage" / stage, stages / Path(stage).name)
