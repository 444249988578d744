"""Programs of a control plane, and the Go module of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).parent
MODULES = HERE / "modules"

FLAGS = ("-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false")
"""How every package is compiled; the programs are linked without what a debugger reads, so none of it is made."""


@dataclass(frozen=True, slots=True)
class Part:
    """One program, built from one package of one pinned Go module."""

    name: str
    module: str
    package: str
    ldflags: str = "-s -w"

    @property
    def module_folder(self) -> Path:
        return MODULES / self.module


def pinned_version(module: str, path: str) -> str:
    """Return the version that `modules/<module>/go.mod` requires of the Go module `path`."""
    text = (MODULES / module / "go.mod").read_text()
    found = re.search(rf"^(?:require|\t) ?{re.escape(path)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"{module}/go.mod does not require {path}")
    return found[1]


def go_needed(modules: Iterable[Path]) -> tuple[int, ...]:
    """Return the oldest Go release that the modules in all of these folders accept, such as (1, 26, 0)."""
    texts = [(module / "go.mod").read_text() for module in modules]
    found = [re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE) for text in texts]
    return max(tuple(int(number or 0) for number in go.groups()) for go in found if go)


CONTROL_PLANE = "kubernetes"
KUBERNETES = pinned_version(CONTROL_PLANE, "k8s.io/kubernetes")


def kubernetes_part(program: str, module: str = CONTROL_PLANE) -> Part:
    """Return a program of Kubernetes that tells its version."""
    # Without these the server reports v0.0.0-master and clients take it for another one.
    stamp = "-X k8s.io/component-base/version."
    pinned = pinned_version(module, "k8s.io/kubernetes")
    major, minor, _patch = pinned.removeprefix("v").split(".")
    version = f"{stamp}gitVersion={pinned} {stamp}gitMajor={major} {stamp}gitMinor={minor}"
    return Part(program, module, f"k8s.io/kubernetes/cmd/{program}", f"-s -w {version}")


PARTS = (
    Part("etcd", CONTROL_PLANE, "go.etcd.io/etcd/server/v3"),
    kubernetes_part("kube-apiserver"),
    kubernetes_part("kube-controller-manager"),
    kubernetes_part("kube-scheduler"),
    Part("kwok", CONTROL_PLANE, "sigs.k8s.io/kwok/cmd/kwok"),
)
"""All of one module, so that no package is compiled twice; etcd is at the version that this Kubernetes names."""

KWOK_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
"""Files under `kustomize/stage` of the kwok module that make nodes and pods live and end at once."""
