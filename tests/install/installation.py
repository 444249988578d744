"""Keyturn on a cluster, installed the way its manifests say, and what its ServiceAccount may do there."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from sandbox.harness import Kubectl
from sandbox.harness.installation import wait_for_crds
from tests.install.user import User

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

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Tell whether the operator may; the answer is the API server's, about what it knows."""
        assert resource.partition("/")[0] in _resources(self.kubectl)
        operator = User.of(self.kubectl, _account("keyturn"))
        return operator.may(verb, resource, "" if namespace == "*" else namespace)

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


@functools.cache
def _resources(kubectl: Kubectl) -> frozenset[str]:
    """Return every kind of object that a cluster knows, such as `leases.coordination.k8s.io`."""
    return frozenset(kubectl("api-resources", "-o", "name").split())


def _in_one_order(line: str) -> str:
    """Return a line without its padding, and with its verbs, which come in any order, in that of manifests."""
    what, _, verbs = line.rpartition("[")
    ordered = sorted(verbs.rstrip("] ").split(), key=_VERBS.index)
    return f"{' '.join(what.split())} [{' '.join(ordered)}]\n"


def _account(name: str) -> str:
    return f"system:serviceaccount:keyturn-system:{name}"
