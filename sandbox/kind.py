"""A new cluster of kind, which needs Docker, Podman or nerdctl; it lives as long as a block.

The program is compiled from a pinned Go module. The node image is pinned by its digest: it is the default image of
that release of kind (pkg/apis/config/defaults/image.go of its source), so both are changed together.
"""

from __future__ import annotations

import hashlib
import platform
import secrets
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from . import cache, golang
from .compiling import compile_parts
from .errors import SandboxError, last_lines
from .parts import FLAGS, MODULES, Part, go_needed, pinned_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART: Final = Part("kind", "kind", "sigs.k8s.io/kind")
NODE_IMAGE: Final = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
_ENGINES: Final = ("docker", "podman", "nerdctl")
_READY_SECONDS: Final = 180
_CREATE_SECONDS: Final = 900.0
"""Including the download of the node image, of 400 MB."""
_DELETE_SECONDS: Final = 120.0


def program() -> Path:
    """Return the program, compiled first if this machine never did."""
    return cache.filled(_key(), "kind", _fill) / "bin" / PART.name


def _key() -> str:
    content = hashlib.sha256(repr((*FLAGS, PART)).encode())
    for file in sorted(PART.module_folder.glob("go.*")):
        content.update(file.read_bytes())
    version = pinned_version(PART.module, PART.package)
    return f"kind-{version}-{platform.system()}-{platform.machine()}-{content.hexdigest()[:16]}".lower()


def _fill(scratch: Path) -> None:
    print(
        f"sandbox: building kind into {scratch.parent}, once; it takes a minute", file=sys.stderr, flush=True
    )
    go = golang.find_go(go_needed([MODULES / PART.module]))
    compile_parts(go, [PART], scratch)


@contextmanager
def cluster(kubeconfig: Path) -> Iterator[Path]:
    """Create a cluster, write its kubeconfig into a file, and delete the cluster at the end of the block.

    Raises:
        SandboxError: There is no container engine, or kind fails.
    """
    if not any(map(shutil.which, _ENGINES)):
        raise SandboxError(f"kind needs a container engine: install one of {', '.join(_ENGINES)}")
    name, kind = f"keyturn-{secrets.token_hex(3)}", program()
    kubeconfig.touch(mode=0o600)
    target = [f"--name={name}", f"--kubeconfig={kubeconfig}"]
    try:
        _run(
            [kind, "create", "cluster", *target, f"--image={NODE_IMAGE}", f"--wait={_READY_SECONDS}s"],
            _CREATE_SECONDS,
        )
        yield kubeconfig
    finally:
        _run([kind, "delete", "cluster", *target], _DELETE_SECONDS)


def _run(command: list[str | Path], seconds: float) -> None:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise SandboxError(f"kind {command[1]} cluster takes longer than {seconds:.0f} s") from None
    if done.returncode != 0:
        raise SandboxError(f"kind {command[1]} cluster failed:\n{last_lines(done.stderr.splitlines())}")
