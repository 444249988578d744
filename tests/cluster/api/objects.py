"""What the tests of the API send, and what the API server answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from kubernetes import client, config

from tests.cluster.api.causes import causes

if TYPE_CHECKING:
    from pathlib import Path

Body = dict[str, Any]

_GROUP, _VERSION = "keyturn.dev", "v1alpha1"
_NEAREST: Body = {"kubernetes": {}}
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
    items = list(data) or [item("token")]
    return _body("ManagedSecret", name, {"data": items, **spec})


def item(name: str, kind: str = "uuid", **settings: Any) -> Body:
    """Build a generated item of data."""
    return {"name": name, "generate": {kind: settings}}


def secret_class(name: str = "example", **spec: Any) -> Body:
    return _body("SecretClass", name, spec)


def secret_store(provider: Body | None = None, name: str = "example", **spec: Any) -> Body:
    """Build a store of one namespace; it reads the Secrets there where no provider is given."""
    return _body("SecretStore", name, {"provider": _NEAREST if provider is None else provider, **spec})


def cluster_secret_store(provider: Body | None = None, name: str = "example", **spec: Any) -> Body:
    return _body("ClusterSecretStore", name, {"provider": _NEAREST if provider is None else provider, **spec})


def database_target(name: str = "example", *, server: Body | None = None, **spec: Any) -> Body:
    """Build a target of one namespace; `server` adds to the settings of PostgreSQL."""
    return _body("DatabaseTarget", name, _target(server, spec))


def cluster_database_target(name: str = "example", *, server: Body | None = None, **spec: Any) -> Body:
    full = {"host": "db.example.com", **(server or {})}
    return _body("ClusterDatabaseTarget", name, _target(full, {"allowedUsernames": ["orders_app"], **spec}))


def _target(server: Body | None, spec: Body) -> Body:
    postgresql = {"host": "db", "database": "orders", **(server or {})}
    return {"postgresql": postgresql, "adminCredentials": {"secretRef": {"name": "db-admin"}}, **spec}


def with_database(*data: Body, database: Body | None = None, **spec: Any) -> Body:
    """Build a ManagedSecret for the account orders_app; without data it generates the password."""
    items = data or (item("password", "password"),)
    account = {"targetRef": {"name": "orders"}, "username": "orders_app", **(database or {})}
    return managed_secret(*items, database=account, **spec)


def emergency(name: str = "example", reason: str = "a laptop was stolen", **spec: Any) -> Body:
    """Build an emergency; it takes every ManagedSecret where nothing chooses."""
    chosen: Body = {} if spec.keys() & {"selector", "names"} else {"selector": {}}
    return _body("EmergencyRotation", name, {"reason": reason, **chosen, **spec})


def pulled(name: str, key: str = "prod/app", **ref: Any) -> Body:
    """Build an item of data that the store named vault keeps."""
    return {"name": name, "from": {"storeRef": {"name": "vault"}, "remoteRef": {"key": key, **ref}}}


def brought(key: str = "prod/app", *, kind: str | None = None, prefix: str | None = None, **ref: Any) -> Body:
    """Build an entry of dataFrom."""
    entry: Body = {"storeRef": _vault(kind), "remoteRef": {"key": key, **ref}}
    return entry if prefix is None else {**entry, "prefix": prefix}


def pushed(key: str = "prod/app", *, kind: str | None = None, **entry: Any) -> Body:
    """Build an entry of pushTo."""
    return {"storeRef": _vault(kind), "remoteRef": {"key": key}, **entry}


def _vault(kind: str | None) -> Body:
    return {"name": "vault"} if kind is None else {"kind": kind, "name": "vault"}


def _body(kind: str, name: str, spec: Body) -> Body:
    return {
        "apiVersion": f"{_GROUP}/{_VERSION}",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


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

    def refusals(self, body: Body) -> list[str]:
        """Say why `body` may not be created, each cause after its field; nothing where it may."""
        try:
            self.try_(body)
        except client.ApiException as refused:
            return causes(refused, body)
        return []
