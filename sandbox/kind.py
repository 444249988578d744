"""A new cluster of kind, made by pytest-kind with what the project pins; it needs Docker, Podman or nerdctl.

The program is compiled from a pinned Go module. The node image is pinned by its digest: it is the default image of
that release of kind (pkg/apis/config/defaults/image.go of its source), so both are changed together.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import cache, golang
from .errors import SandboxError
from .golang import Part, compile_parts, pinned_version
from .harness.kubectl import PROGRAM as KUBECTL

if TYPE_CHECKING:
    from pytest_kind import KindCluster

PART: Final = Part("kind", "kind", "sigs.k8s.io/kind")
NODE_IMAGE: Final = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
_ENGINES: Final = ("docker", "podman", "nerdctl")
_DELETE_SECONDS: Final = 120.0


def program() -> Path:
    """Return the program, compiled first if this machine never did."""
    return cache.filled(_key(), "kind", partial(compile_parts, [PART])) / "bin" / PART.name


def _key() -> str:
    return f"kind-{pinned_version(PART.module, PART.package)}-{golang.key([PART])}"


def options(folder: Path) -> dict[str, Any]:
    """Return the options of the fixture `kind_cluster`: a name that is new, and what the project pins.

    Raises:
        SandboxError: There is no container engine, or kind cannot be compiled.
    """
    engine()
    return {
        "cluster_name": f"keyturn-{secrets.token_hex(3)}",
        "keep_cluster": False,
        "kubeconfig": str(folder / "kubeconfig"),
        "kind_image": NODE_IMAGE,
        "kind_bin": str(program()),
        "kind_kubectl_bin": KUBECTL,
    }


def engine() -> str:
    """Return the program of the container engine that kind uses."""
    for name in _ENGINES:
        if shutil.which(name):
            return name
    raise SandboxError(f"kind needs a container engine: install one of {', '.join(_ENGINES)}")


@contextmanager
def cluster(folder: Path) -> Iterator[KindCluster]:
    """Create a cluster as the fixture `kind_cluster` does, with its kubeconfig in a folder; delete it at the end.

    Raises:
        SandboxError: There is no container engine, or kind fails.
    """
    from pytest_kind import KindCluster  # noqa: PLC0415 - its imports take 0.4 s

    chosen = options(folder)
    made = KindCluster(
        chosen["cluster_name"],
        Path(chosen["kubeconfig"]),
        image=chosen["kind_image"],
        kind_path=Path(chosen["kind_bin"]),
        kubectl_path=Path(chosen["kind_kubectl_bin"]),
    )
    try:
        made.create()
        yield made
    except subprocess.CalledProcessError as error:
        raise SandboxError(f"kind failed, and has said why: {' '.join(error.cmd[1:3])}") from None
    finally:
        delete(chosen)


def delete(chosen: Mapping[str, Any]) -> None:
    """Delete a cluster, which may be there in part or not at all, and the folder that pytest-kind makes for it."""
    target = [f"--name={chosen['cluster_name']}", f"--kubeconfig={chosen['kubeconfig']}"]
    subprocess.run([chosen["kind_bin"], "delete", "cluster", *target], check=False, timeout=_DELETE_SECONDS)
    shutil.rmtree(Path(".pytest-kind") / chosen["cluster_name"], ignore_errors=True)
