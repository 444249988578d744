from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from sandbox import ControlPlane
from sandbox.harness import Kubectl
from tests.support.objects import Body, Client, Refused

MANAGED = "/apis/keyturn.dev/v1alpha1"
USER = "system:serviceaccount:keyturn-faults"
_SHIPPED = "system:serviceaccount:keyturn-system:keyturn"
_POLICIES = Path(__file__).parents[2] / "manifests" / "base" / "own-account"
_ROLES = ("keyturn", "keyturn-classes", "keyturn-environments", "keyturn-faults-leases")


class Cluster:
    """An API server as its administrator sees it: its objects, accounts and audit log."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.kubectl = Kubectl(plane.kubeconfig)
        self._client = Client.of(plane.kubeconfig)

    def close(self) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        """Return what is at `path`, or None."""
        return self._client.find(path)

    def items(self, path: str) -> list[Body]:
        return self._client.items(path)

    @property
    def managed_secrets(self) -> int:
        """How many ManagedSecrets there are, of every test that runs on this cluster."""
        return len(self.items(f"{MANAGED}/managedsecrets"))

    def create(self, path: str, body: Body) -> Body:
        return self._client.create(path, body)

    def edit(self, path: str, change: Callable[[Body], object]) -> None:
        self._client.edit(path, change)

    def delete(self, path: str) -> None:
        """Delete what is at `path`, if there is something."""
        try:
            self._client.delete(path)
        except Refused as refused:
            assert refused.status == HTTPStatus.NOT_FOUND, str(refused)  # noqa: PT017

    def account(self, name: str, folder: Path) -> Path:
        """Return the kubeconfig of an operator's ServiceAccount, with the shipped rights and a Lease anywhere."""
        home = USER.rpartition(":")[2]
        rights = [_binding(name, role) for role in _ROLES]
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": home},
        }
        self.kubectl(
            "apply", "-f", "-", given=_list([_namespace(home), account, LEASES, *rights, *_held(name)])
        )
        return self.plane.service_account_kubeconfig(home, name, folder / f"{name}.kubeconfig")

    def audit(self, text: str = "") -> Iterator[Call]:
        """Yield the calls that the API server has logged, oldest first; only those whose line contains `text`."""
        files = sorted(self.plane.audit_log.parent.glob(f"{self.plane.audit_log.stem}*"))
        for file in sorted(files, key=lambda file: file.stat().st_mtime):
            for line in file.read_bytes().splitlines():
                if text.encode() not in line:
                    continue  # a folder's log has more lines than each test can parse
                entry = json.loads(line)
                yield Call(
                    entry["user"].get("username", ""),
                    entry["verb"],
                    entry["requestURI"],
                    (entry.get("responseStatus") or {}).get("code", 0),
                    entry["requestReceivedTimestamp"],
                    (entry.get("objectRef") or {}).get("resource", ""),
                    (entry.get("objectRef") or {}).get("namespace", ""),
                )

    def writes(self, user: str, namespaces: Collection[str] | None = None) -> list[Call]:
        """Return the calls of one of our accounts that changed something, beside Leases and Events.

        An operator of the whole cluster also serves what other tests have left in it: `namespaces` are the own ones.
        A review is created, answered and not stored.
        """
        return [
            call
            for call in self.audit(f"{USER}:{user}")
            if call.user == f"{USER}:{user}"
            and call.verb in {"create", "update", "patch", "delete", "deletecollection"}
            and call.resource not in {"leases", "events", "selfsubjectaccessreviews"}
            and (namespaces is None or call.namespace in namespaces)
        ]


@dataclass(frozen=True, slots=True)
class Call:
    """One entry of the audit log."""

    user: str
    verb: str
    uri: str
    status: int
    received: str
    resource: str
    namespace: str


def values_of(secret: Any) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in (secret.get("data") or {}).items()}


def state_of(secret: Any) -> Any:
    """Read what a state Secret says; its values are in it, so it is never shown."""
    return json.loads(values_of(secret)["state"])


def _list(items: Iterable[object]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def _namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


LEASES = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "keyturn-faults-leases"},
    "rules": [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
    ],
}


def _held(account: str) -> Iterator[Any]:
    """Hold an account to what the shipped policies hold the operator's own to."""
    for path in sorted({*_POLICIES.glob("*.yaml")} - {_POLICIES / "kustomization.yaml"}):
        text = (
            path.read_text().replace("keyturn-own-", f"{account}-own-").replace(_SHIPPED, f"{USER}:{account}")
        )
        yield from yaml.safe_load_all(text)


def _binding(account: str, role: str) -> dict[str, object]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{account}-{role}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": USER.rpartition(":")[2]}],
    }
