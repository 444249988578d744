"""Keyturn on a cluster, installed the way its manifests say, and what its ServiceAccount may do there."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sandbox.harness import Kubectl
from sandbox.harness.installation import rendered, wait_for_crds

MANIFESTS = Path(__file__).parents[2] / "manifests"
BASE = MANIFESTS / "base"
NAMESPACED = MANIFESTS / "overlays" / "namespaced"
NO_LIST = MANIFESTS / "overlays" / "no-list"

_SHOP = {
    "apiVersion": "v1",
    "kind": "Namespace",
    # Warned of, not refused: a test sees what Pod Security would say.
    "metadata": {"name": "shop", "labels": {"pod-security.kubernetes.io/warn": "restricted"}},
}
_HEADER = 1
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


Body = dict[str, Any]


@cache
def _kustomized(resources: tuple[Path, ...], components: tuple[Path, ...], more: str) -> list[Body]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        parts = {"resources": resources, "components": components}
        body = {name: [os.path.relpath(one, folder) for one in paths] for name, paths in parts.items()}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(body | json.loads(more)))
        return rendered(folder)


def kustomized(*resources: Path, components: Sequence[Path] = (), **more: Any) -> list[Body]:
    """Return what folders become with components and further fields of a kustomization, but for the CRDs."""
    return copy.deepcopy(_kustomized(resources, tuple(components), json.dumps(more)))


@dataclass(frozen=True, slots=True)
class Installation:
    """What `kubectl apply -k` made, and said."""

    kubectl: Kubectl
    folder: Path
    warnings: str

    @classmethod
    def of(cls, folder: Path, kubectl: Kubectl) -> Installation:
        kubectl("apply", "-f", "-", given=_SHOP)
        done = kubectl.run("apply", "-k", str(folder))
        assert done.returncode == 0, done.stderr
        wait_for_crds(kubectl)
        return cls(kubectl, folder, done.stderr)

    def reads_namespace(self, name: str) -> bool:
        """Whether the operator can read a namespace; a Role in that namespace is enough for the API server."""
        done = self.kubectl.run("get", "namespace", name, f"--as={_account('keyturn')}")
        assert done.returncode == 0 or "Forbidden" in done.stderr, done.stderr
        return done.returncode == 0

    def rights(self, namespace: str) -> str:
        """List what the operator may do beyond what every ServiceAccount of its namespace may."""
        ours, everyones = (
            self.kubectl("auth", "can-i", "--list", f"--as={_account(name)}", "-n", namespace)
            for name in ("keyturn", "default")
        )
        common = set(map(_in_one_order, everyones.splitlines()[_HEADER:]))
        lines = map(_in_one_order, ours.splitlines()[_HEADER:])
        return "".join(sorted(line for line in lines if line not in common))


def _in_one_order(line: str) -> str:
    """Return a line without its padding, and with its verbs, which come in any order, in that of manifests."""
    what, _, verbs = line.rpartition("[")
    ordered = sorted(verbs.rstrip("] ").split(), key=_VERBS.index)
    return f"{' '.join(what.split())} [{' '.join(ordered)}]\n"


def _account(name: str) -> str:
    return f"system:serviceaccount:keyturn-system:{name}"
