"""Where the programs of a control plane come from: a cache outside the checkout, filled once."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from . import cache, golang
from .compiling import compile_part
from .parts import HERE, KUBERNETES, KWOK_STAGES, MODULES, PARTS, go_needed


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


def ensure() -> Programs:
    """Return the programs, building them first if this machine never did."""
    return Programs(cache.filled(_key(), "the control plane", _fill))


def _key() -> str:
    """Name the cache folder by all that decides what is built."""
    content = hashlib.sha256(repr(PARTS + KWOK_STAGES).encode())
    # Only these modules: what a real node is made of is no reason to build a control plane again.
    for module in sorted({part.module for part in PARTS}):
        for file in sorted((MODULES / module).glob("go.*")):
            content.update(file.read_bytes())
    return f"{KUBERNETES}-{platform.system()}-{platform.machine()}-{content.hexdigest()[:16]}".lower()


def _fill(scratch: Path) -> None:
    print(
        f"sandbox: building Kubernetes {KUBERNETES} into {scratch.parent}, once; it takes minutes",
        file=sys.stderr,
        flush=True,
    )
    go = golang.find_go(scratch.parent, go_needed(part.module_folder for part in PARTS))
    for part in PARTS:
        compile_part(go, part, scratch)
    _copy_stages(go, scratch / "stages")


def _copy_stages(go: Path, stages: Path) -> None:
    stages.mkdir()
    found = subprocess.run(
        [str(go), "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"],
        cwd=MODULES / "kwok",
        env=golang.environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for stage in KWOK_STAGES:
        shutil.copyfile(Path(found.stdout.strip()) / "kustomize" / "stage" / stage, stages / Path(stage).name)
