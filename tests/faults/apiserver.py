from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sandbox.harness import Kubectl
from tests.support.objects import Client, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from sandbox import ControlPlane
    from tests.support.objects import Body

MANAGED = "/apis/keyturn.dev/v1alpha1"
_HOME = "keyturn-faults"
USER = f"system:serviceaccount:{_HOME}"
_BY_THE_SHIPPED = "username == 'system:serviceaccount:keyturn-system:keyturn'"
_BY_ONE_OF_HOME = f"username.startsWith('{USER}:')"
_POLICIES = Path(__file__).parents[2] / "manifests" / "base" / "own-account"
_ROLES = ("keyturn", "keyturn-classes", "keyturn-environments", "keyturn-faults-leases")


class Cluster:
    """An API server as its administrator sees it: its objects, accounts and audit log."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.kubectl = Kubectl(plane.kubeconfig)
        self._client = Client.of(plane.kubeconfig)
        self._has_home = False

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
        if not self._has_home:
            self._make_home()
        self.create(f"/api/v1/namespaces/{_HOME}/serviceaccounts", {"metadata": {"name": name}})
        return self.plane.service_account_kubeconfig(_HOME, name, folder / f"{name}.kubeconfig")

    def _make_home(self) -> None:
        """Make the namespace of such accounts; all have the same rights, and are held to the same policies."""
        rights = map(_binding, _ROLES)
        self.kubectl("apply", "-f", "-", given=_list([_namespace(_HOME), _LEASES, *rights, *_held()]))
        self._has_home = True

    def audit(self, text: str = "") -> Iterator[Call]:
        """Yield the calls that the API server has logged, oldest first; only those whose line contains `text`."""
        files = sorted(self.plane.audit_log.parent.glob(f"{self.plane.audit_log.stem}*"))
        for file in sorted(files, key=lambda file: file.stat().st_mtime):
            for line in _lines_with(text.encode(), file.read_bytes()):
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


def _lines_with(text: bytes, content: bytes) -> Iterator[bytes]:
    """Yield the lines that contain a text; a folder's log has more lines than each test can look at."""
    end = -1
    while (at := content.find(text, end + 1)) >= 0 and end < len(content):
        begin = content.rfind(b"\n", 0, at) + 1
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        if begin < end:
            yield content[begin:end]


def values_of(secret: Any) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in (secret.get("data") or {}).items()}


def state_of(secret: Any) -> Any:
    """Read what a state Secret says; its values are in it, so it is never shown."""
    return json.loads(values_of(secret)["state"])


def _list(items: Iterable[object]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def _namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


_LEASES = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "keyturn-faults-leases"},
    "rules": [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "create", "update"],
        }
    ],
}


def _held() -> Iterator[Any]:
    """Hold the accounts to what the shipped policies hold the operator's own to."""
    for path in sorted({*_POLICIES.glob("*.yaml")} - {_POLICIES / "kustomization.yaml"}):
        text = path.read_text()
        assert _BY_THE_SHIPPED in text, path.name
        text = text.replace("keyturn-own-", f"{_HOME}-own-").replace(_BY_THE_SHIPPED, _BY_ONE_OF_HOME)
        yield from yaml.load_all(text, Loader=yaml.CSafeLoader)


def _binding(role: str) -> dict[str, object]:
    """Give a role to every account of the namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{_HOME}-{role}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": f"system:serviceaccounts:{_HOME}"}],
    }
