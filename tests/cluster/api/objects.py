"""What the tests of the API send, and what the API server answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kubernetes import client, config

Body = dict[str, Any]

# Follows another cause and says nothing of its own.
_UNCHECKED = "some validation rules were not checked"
_GROUP, _VERSION = "keyturn.dev", "v1alpha1"
_NAMESPACED = {
    "ManagedSecret": "managedsecrets",
    "SecretStore": "secretstores",
    "DatabaseTarget": "databasetargets",
    "EmergencyRotation": "emergencyrotations",
}
_OF_CLUSTER = {
    "SecretClass": "secretclasses",
    "ClusterSecretStore": "clustersecretstores",
    "ClusterDatabaseTarget": "clusterdatabasetargets",
}


def managed_secret(*data: Body, name: str = "example", **spec: Any) -> Body:
    """Build a ManagedSecret; without data it generates one value."""
    items = list(data) or [{"name": "token", "generate": {"uuid": {}}}]
    return body("ManagedSecret", name, {"data": items, **spec})


def body(kind: str, name: str, spec: Body) -> Body:
    return {"apiVersion": f"{_GROUP}/{_VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True, slots=True)
class Objects:
    """Our kinds on a real API server, in one namespace."""

    api: client.CustomObjectsApi
    namespace: str

    @classmethod
    def of(cls, kubeconfig: Path, namespace: str) -> Objects:
        connection = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]  # theirs
        return cls(client.CustomObjectsApi(connection), namespace)

    def create(self, body: Body) -> Body:
        return self._send(body, dry_run=None)

    def try_(self, body: Body) -> Body:
        """Say what would be stored, without storing it."""
        return self._send(body, dry_run="All")

    def _send(self, body: Body, dry_run: str | None) -> Body:
        kind = body["kind"]
        if kind in _OF_CLUSTER:
            answer = self.api.create_cluster_custom_object(
                _GROUP, _VERSION, _OF_CLUSTER[kind], body, dry_run=dry_run, field_validation="Strict"
            )
        else:
            answer = self.api.create_namespaced_custom_object(
                *(_GROUP, _VERSION, self.namespace, _NAMESPACED[kind]),
                body,
                dry_run=dry_run,
                field_validation="Strict",
            )
        return cast("Body", answer)

    def replace(self, body: Body) -> None:
        self.api.replace_namespaced_custom_object(
            *(_GROUP, _VERSION, self.namespace, _NAMESPACED[body["kind"]], body["metadata"]["name"]), body
        )

    def write_status(self, body: Body, status: Body) -> Body:
        """Write a status as the operator does, and return the object."""
        answer = self.api.replace_namespaced_custom_object_status(
            *(_GROUP, _VERSION, self.namespace, _NAMESPACED[body["kind"]], body["metadata"]["name"]),
            {**body, "status": status},
        )
        return cast("Body", answer)

    def refusals(self, body: Body) -> list[tuple[str, str]]:
        """Return why `body` may not be created, as (field, message); nothing if it may."""
        return refusals(lambda: self.try_(body))


def refusals(send: Callable[[], object]) -> list[tuple[str, str]]:
    """Return why a write was refused, as (field, message); nothing if it was not."""
    try:
        send()
    except client.ApiException as refused:
        answer = json.loads(refused.body or "{}")
    else:
        return []
    causes = answer.get("details", {}).get("causes", [{"field": "", "message": answer["message"]}])
    return [(one["field"], one["message"]) for one in causes if _UNCHECKED not in one["message"]]
