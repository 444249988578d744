"""Where the programs of a control plane come from: a cache outside the checkout, filled once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import golang
from .errors import SandboxError, log_tail
from .parts import HERE, KUBERNETES, KWOK_STAGES, MODULES, PARTS, Part
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUILD_TIMEOUT = 3600.0


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
    folder = _cache() / _key()
    if not folder.exists():
        with _only_builder(folder):
            if not folder.exists():
                _build(folder)
    return Programs(folder)


def _cache() -> Path:
    chosen = os.environ.get("KEYTURN_CACHE")
    if chosen:
        return Path(chosen) / "sandbox"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "keyturn" / "sandbox"


def _key() -> str:
    """Name the cache folder by all that decides what is built."""
    content = hashlib.sha256(repr(PARTS + KWOK_STAGES).encode())
    for file in sorted(MODULES.glob("*/go.*")):
        content.update(file.read_bytes())
    return f"{KUBERNETES}-{platform.system()}-{platform.machine()}-{content.hexdigest()[:16]}".lower()


@contextmanager
def _only_builder(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                "sandbox: another process builds the control plane; waiting for it",
                file=sys.stderr,
                flush=True,
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path) -> None:
    prefix = f".{folder.name}-"
    for leftover in folder.parent.glob(f"{prefix}*"):  # of a build that was killed; we hold the lock
        shutil.rmtree(leftover)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
    try:
        _fill(scratch)
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fill(scratch: Path) -> None:
    print(
        f"sandbox: building Kubernetes {KUBERNETES} into {scratch.parent}, once; it takes minutes",
        file=sys.stderr,
        flush=True,
    )
    go = golang.find_go(scratch.parent)
    for part in PARTS:
        _compile(go, part, scratch)
    _copy_stages(go, scratch / "stages")


def _compile(go: Path, part: Part, scratch: Path) -> None:
    log = scratch / f"{part.name}.log"
    output = scratch / "bin" / part.name
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", part.ldflags]
    _run([str(go), "build", *flags, "-o", str(output), part.package], part, log)
    log.unlink()


def _run(command: list[str], part: Part, log: Path) -> None:
    with log.open("wb") as out, Progress(f"sandbox: {part.name}", _BUILD_TIMEOUT) as progress:
        process = subprocess.Popen(
            command, cwd=part.module_folder, env=golang.environment(), stdout=out, stderr=out
        )
        try:
            code = progress.wait_for(process)
        finally:
            process.kill()
            process.wait()
    if code != 0:
        raise SandboxError(f"building {part.name} failed with code {code}:\n{log_tail(log)}")


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
