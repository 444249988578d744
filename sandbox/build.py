"""Builds the programs of a control plane, of each release of Kubernetes with a module, into a cache, once.

Those of the newest release are in a folder with etcd and kwok. An older release has a folder of its own, with links
to that etcd and kwok.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import cache, golang
from .errors import SandboxError
from .golang import HERE, MODULES, Part, pinned_version

VARIABLE = "KEYTURN_KUBERNETES"
_NEWEST = "kubernetes"
_OLDER = f"{_NEWEST}-"
KUBERNETES = pinned_version(_NEWEST, "k8s.io/kubernetes")

KWOK_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
"""Files under `kustomize/stage` of the kwok module that make nodes and pods live and end at once."""


def kubernetes_part(program: str, module: str = _NEWEST) -> Part:
    """Return a program of Kubernetes that tells its version."""
    # Without these the server reports v0.0.0-master and clients take it for another one.
    stamp = "-X k8s.io/component-base/version."
    pinned = pinned_version(module, "k8s.io/kubernetes")
    major, minor, _patch = pinned.removeprefix("v").split(".")
    version = f"{stamp}gitVersion={pinned} {stamp}gitMajor={major} {stamp}gitMinor={minor}"
    return Part(program, module, f"k8s.io/kubernetes/cmd/{program}", f"-s -w {version}")


@dataclass(frozen=True, slots=True)
class Release:
    """A minor release of Kubernetes, at the patch that its module pins."""

    name: str
    """Such as 1.36."""
    module: str

    @property
    def version(self) -> str:
        """Such as v1.36.3."""
        return pinned_version(self.module, "k8s.io/kubernetes")

    @property
    def parts(self) -> tuple[Part, ...]:
        programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        return tuple(kubernetes_part(program, self.module) for program in programs)


NEWEST = Release(KUBERNETES.removeprefix("v").rpartition(".")[0], _NEWEST)
"""The release that everything uses unless another is asked for."""
PARTS = (
    Part("etcd", _NEWEST, "go.etcd.io/etcd/server/v3"),
    *NEWEST.parts,
    Part("kwok", _NEWEST, "sigs.k8s.io/kwok/cmd/kwok"),
)
"""All of one module, so that no package is compiled twice; etcd is at the version that this Kubernetes names."""


def older() -> tuple[Release, ...]:
    """Return the releases before the newest, the oldest first."""
    names = [folder.name.removeprefix(_OLDER) for folder in MODULES.glob(f"{_OLDER}*")]
    return tuple(
        Release(name, f"{_OLDER}{name}")
        for name in sorted(names, key=lambda name: [*map(int, name.split("."))])
    )


def chosen(name: str | None = None) -> Release:
    """Return the release `name`; without one, that of the environment variable KEYTURN_KUBERNETES, or the newest."""
    name = name or os.environ.get(VARIABLE)
    known = {release.name: release for release in (*older(), NEWEST)}
    if name and name not in known:
        raise SandboxError(f"there is no module of Kubernetes {name!r}: choose one of {', '.join(known)}")
    return known[name] if name else NEWEST


@dataclass(frozen=True, slots=True)
class Programs:
    """A cache folder that holds every program of a control plane, with the stage files of kwok, or of a node."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def path(self, name: str) -> Path:
        return self.bin / name

    @property
    def stages(self) -> tuple[Path, ...]:
        """The stage files of the kwok module and our own, for kwok's `--config`."""
        return (*sorted((self.folder / "stages").glob("*.yaml")), *sorted((HERE / "stages").glob("*.yaml")))


def ensure(kubernetes: str | None = None) -> Programs:
    """Return the programs of a release as `chosen` takes it, building them first if this machine never did."""
    release, key = chosen(kubernetes), _key()
    newest = Programs(cache.filled(key, "the control plane", _fill))
    if release == NEWEST:
        return newest
    older = f"{release.version}-{golang.key(release.parts, key)}"
    what = f"the control plane of Kubernetes {release.name}"
    return Programs(cache.filled(older, what, partial(_fill_older, release, newest)))


def _key() -> str:
    return f"{KUBERNETES}-{golang.key(PARTS, *KWOK_STAGES)}"


def _fill(scratch: Path) -> None:
    golang.compile_parts(PARTS, scratch)
    found = golang.run_go(MODULES / _NEWEST, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")
    (stages := scratch / "stages").mkdir()
    for stage in KWOK_STAGES:
        shutil.copyfile(Path(found.strip()) / "kustomize" / "stage" / stage, stages / Path(stage).name)


def _fill_older(release: Release, newest: Programs, scratch: Path) -> None:
    """Compile what is of the release, and link what it shares with the newest."""
    golang.compile_parts(release.parts, scratch)
    for part in PARTS:
        if not (scratch / "bin" / part.name).exists():
            (scratch / "bin" / part.name).hardlink_to(newest.path(part.name))
    shutil.copytree(newest.folder / "stages", scratch / "stages")
