"""Creates, reads, changes and deletes objects of a cluster: dict bodies, one HTTP call each."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlencode

from kubernetes import config

from sandbox.harness import eventually

Body = dict[str, Any]

_OURS, _APPS = "apis/keyturn.dev/v1alpha1", "apis/apps/v1"
_ADMISSION = "apis/admissionregistration.k8s.io/v1"
_NAMESPACED = {
    "ManagedSecret": (_OURS, "managedsecrets"),
    "SecretStore": (_OURS, "secretstores"),
    "DatabaseTarget": (_OURS, "databasetargets"),
    "EmergencyRotation": (_OURS, "emergencyrotations"),
    "Secret": ("api/v1", "secrets"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Pod": ("api/v1", "pods"),
    "ResourceQuota": ("api/v1", "resourcequotas"),
    "Service": ("api/v1", "services"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Deployment": (_APPS, "deployments"),
    "StatefulSet": (_APPS, "statefulsets"),
    "DaemonSet": (_APPS, "daemonsets"),
    "Job": ("apis/batch/v1", "jobs"),
    "CronJob": ("apis/batch/v1", "cronjobs"),
    "Rollout": ("apis/argoproj.io/v1alpha1", "rollouts"),
    "Event": ("apis/events.k8s.io/v1", "events"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
}
_CLUSTER_WIDE = {
    "SecretClass": (_OURS, "secretclasses"),
    "ClusterSecretStore": (_OURS, "clustersecretstores"),
    "ClusterDatabaseTarget": (_OURS, "clusterdatabasetargets"),
    "Namespace": ("api/v1", "namespaces"),
    "ValidatingAdmissionPolicy": (_ADMISSION, "validatingadmissionpolicies"),
    "ValidatingAdmissionPolicyBinding": (_ADMISSION, "validatingadmissionpolicybindings"),
    "ValidatingWebhookConfiguration": (_ADMISSION, "validatingwebhookconfigurations"),
    "MutatingWebhookConfiguration": (_ADMISSION, "mutatingwebhookconfigurations"),
}
_TRIES = 20


class Refused(AssertionError):  # noqa: N818 - it is what the API server did
    """The API server answered with an error; its message is not kept, it may quote a Secret."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(f"{what} answered {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the API server for tests: objects by their path, one HTTP call each."""

    _client: Any

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        return cls(config.new_client_from_config(str(kubeconfig)))  # type: ignore[no-untyped-call]  # theirs

    def close(self) -> None:
        self._client.rest_client.pool_manager.clear()

    def create(self, path: str, body: Body, query: Mapping[str, str] | None = None) -> Body:
        return self._call("POST", path, body, query)

    def get(self, path: str) -> Body:
        return self._call("GET", path)

    def find(self, path: str) -> Body | None:
        """Return an object, or None where there is none."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def items(self, path: str, query: Mapping[str, str] | None = None) -> list[Body]:
        return cast("list[Body]", self._call("GET", path, None, query)["items"])

    def count(self, path: str) -> int:
        """Count the objects of a collection; at most one of them is read."""
        listed = self._call("GET", path, None, {"limit": "1"})
        return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount") or 0)

    def edit(self, path: str, change: Callable[[Body], object], subresource: str = "") -> Body:
        """Read, change and write an object, again after a conflict."""
        for _ in range(_TRIES):
            body = self.get(path)
            change(body)
            try:
                return self._call("PUT", f"{path}{subresource}", body)
            except Refused as refused:
                if refused.status != HTTPStatus.CONFLICT:
                    raise
        raise AssertionError(f"{path} changes too often to be edited")

    def delete(self, path: str) -> None:
        """Delete an object and what it owns, as kubectl does; the default of Jobs leaves their pods."""
        self._call("DELETE", path, query={"propagationPolicy": "Background"})

    def _call(
        self, verb: str, path: str, body: Body | None = None, query: Mapping[str, str] | None = None
    ) -> Body:
        path = f"{path}?{urlencode(query)}" if query else path
        response = self.send(verb, path, body, {"Content-Type": "application/json"})
        content = response.read()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise Refused(response.status, f"{verb} {path}")
        return cast("Body", json.loads(content))

    def send(self, verb: str, path: str, body: Body | None, headers: Mapping[str, str]) -> Any:
        """Send a request, and return the response whatever its status; its content is not read."""
        request = self._client.param_serialize(
            verb, path, header_params=dict(headers), body=body, auth_settings=["BearerToken"]
        )
        return self._client.call_api(*request, _request_timeout=20)


@dataclass(frozen=True, slots=True)
class Objects:
    """Every kind that tests use, named as in manifests; a namespace is ignored where a kind has none."""

    _client: Client

    @classmethod
    def of(cls, kubeconfig: Path) -> Self:
        return cls(Client.of(kubeconfig))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def create(self, namespace: str, body: Body) -> Body:
        return self._client.create(path_of(body["kind"], namespace), _whole(body))

    def create_namespace(self, name: str, **labels: str) -> None:
        """Create a namespace, and wait until pods can run in it; kubectl takes as long as a short test."""
        self.create(name, {"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        eventually(
            lambda: self.find("ServiceAccount", name, "default") is not None, "the namespace's ServiceAccount"
        )

    def would_create(self, namespace: str, body: Body) -> Body | None:
        """Return what an object would be; None where it would be refused."""
        try:
            return self._client.create(path_of(body["kind"], namespace), _whole(body), {"dryRun": "All"})
        except Refused:
            return None

    def get(self, kind: str, namespace: str, name: str) -> Body:
        return self._client.get(path_of(kind, namespace, name))

    def find(self, kind: str, namespace: str, name: str) -> Body | None:
        """Return an object, or None where there is none."""
        return self._client.find(path_of(kind, namespace, name))

    def all(self, kind: str, namespace: str, **query: str) -> list[Body]:
        """Return the objects of a namespace, of all namespaces where it is empty."""
        return self._client.items(path_of(kind, namespace), query)

    def count(self, kind: str, namespace: str) -> int:
        """Count the objects of a namespace; at most one of them is read."""
        return self._client.count(path_of(kind, namespace))

    def edit(self, kind: str, namespace: str, name: str, change: Callable[[Body], object]) -> Body:
        """Change an object as `kubectl edit` does, over whatever others write meanwhile."""
        return self._client.edit(path_of(kind, namespace, name), change)

    def edit_status(self, kind: str, namespace: str, name: str, change: Callable[[Body], object]) -> Body:
        """Change an object as `kubectl edit --subresource=status` does."""
        return self._client.edit(path_of(kind, namespace, name), change, "/status")

    def delete(self, kind: str, namespace: str, name: str) -> None:
        self._client.delete(path_of(kind, namespace, name))


@functools.cache
def shared_client(kubeconfig: Path) -> Client:
    """Return the client of a kubeconfig that this process keeps; a new one takes 0.02 s of processor."""
    return Client.of(kubeconfig)


@functools.cache
def shared(kubeconfig: Path) -> Objects:
    """Return every object of a cluster, with the client that this process keeps."""
    return Objects(shared_client(kubeconfig))


def _whole(body: Body) -> Body:
    group, _ = (_NAMESPACED | _CLUSTER_WIDE)[body["kind"]]
    return {"apiVersion": group.partition("/")[2], **body}


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Return the path of an object, or without a name of all of a namespace."""
    if kind in _CLUSTER_WIDE:
        group, plural = _CLUSTER_WIDE[kind]
        return f"/{group}/{plural}/{name}".rstrip("/")
    group, plural = _NAMESPACED[kind]
    where = f"namespaces/{namespace}/" if namespace else ""
    return f"/{group}/{where}{plural}/{name}".rstrip("/")


def deployment(name: str, *, replicas: int = 3, annotations: dict[str, str] | None = None) -> Body:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations or {}},
                "spec": {"containers": [{"name": "main", "image": "example.org/none"}]},
            },
        },
    }
