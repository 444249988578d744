"""Releases of Kubernetes with a Go module in `sandbox/modules`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .errors import SandboxError
from .parts import CONTROL_PLANE, KUBERNETES, MODULES, Part, kubernetes_part, pinned_version

VARIABLE = "KEYTURN_KUBERNETES"
_PATH = "k8s.io/kubernetes"
_OLDER = f"{CONTROL_PLANE}-"


@dataclass(frozen=True, slots=True)
class Release:
    """A minor release of Kubernetes, at the patch that its module pins."""

    name: str
    """Such as 1.36."""
    module: str

    @property
    def version(self) -> str:
        """Such as v1.36.3."""
        return pinned_version(self.module, _PATH)

    @property
    def parts(self) -> tuple[Part, ...]:
        programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        return tuple(kubernetes_part(program, self.module) for program in programs)


def older() -> tuple[Release, ...]:
    """Return the releases before the newest, the oldest first."""
    names = [folder.name.removeprefix(_OLDER) for folder in MODULES.glob(f"{_OLDER}*")]
    return tuple(Release(name, f"{_OLDER}{name}") for name in sorted(names, key=_numbers))


def newest() -> Release:
    """Return the release that everything uses unless another is asked for."""
    return Release(KUBERNETES.removeprefix("v").rpartition(".")[0], CONTROL_PLANE)


def chosen(name: str | None = None) -> Release:
    """Return the release `name`; without one, that of the environment variable KEYTURN_KUBERNETES, or the newest."""
    name = name or os.environ.get(VARIABLE)
    if not name:
        return newest()
    known = {release.name: release for release in (*older(), newest())}
    if name not in known:
        raise SandboxError(f"there is no module of Kubernetes {name!r}: choose one of {', '.join(known)}")
    return known[name]


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in name.split("."))
