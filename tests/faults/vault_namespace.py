"""A namespace with a SecretStore of a real Vault, what goes wrong before that, and operators that serve it."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.apiserver import MANAGED, Cluster, values_of
from tests.faults.namespace import WorkloadNamespace, digest
from tests.support.kept_operator import KeptOperator
from tests.support.store_proxy import StoreProxy, store_proxy
from tests.support.vault import VaultServer
from tests.support.vault_folder import VaultFolder

PASSWORD = {"name": "password", "generate": {"password": {}}}


@dataclass(frozen=True, slots=True)
class VaultNamespace(VaultFolder):
    """A namespace with a SecretStore of a Vault, behind a proxy."""

    space: WorkloadNamespace
    store_proxy: StoreProxy

    @property
    def cluster(self) -> Cluster:
        return self.space.cluster

    def open(self) -> None:
        """Create the namespace, the login and the store."""
        namespace = self.space.namespace
        self.cluster.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        token = base64.b64encode(self.server.token.encode()).decode()
        self.cluster.create(
            f"/api/v1/namespaces/{namespace}/secrets",
            {"metadata": {"name": "login"}, "data": {"token": token}},
        )
        auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
        spec = {
            "provider": {"vault": {"server": self.store_proxy.address, "auth": auth}},
            "refresh": {"minInterval": "1s"},
        }
        body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "SecretStore", "metadata": {"name": "store"}}
        self.cluster.create(f"{MANAGED}/namespaces/{namespace}/secretstores", {**body, "spec": spec})

    def managed(self, name: str = "auth") -> str:
        return f"{MANAGED}/namespaces/{self.space.namespace}/managedsecrets/{name}"

    def create(self, name: str = "auth", **spec: Any) -> None:
        whole = {"data": [PASSWORD], "rollout": {"debounce": "0s"}, **spec}
        body = {"apiVersion": "keyturn.dev/v1alpha1", "kind": "ManagedSecret", "metadata": {"name": name}}
        self.cluster.create(self.managed().rpartition("/")[0], {**body, "spec": whole})

    def push(self, name: str = "auth", **more: Any) -> dict[str, Any]:
        return {"storeRef": {"name": "store"}, "remoteRef": {"key": self.key(name)}, **more}

    def pull(self, name: str, property_: str, key: str = "auth") -> dict[str, Any]:
        ref = {"key": self.key(key), "property": property_}
        return {"name": name, "from": {"storeRef": {"name": "store"}, "remoteRef": ref}}

    def status(self, name: str = "auth") -> dict[str, Any]:
        return dict((self.cluster.get(self.managed(name)) or {}).get("status") or {})

    def holds(self, name: str = "auth", **conditions: str) -> bool:
        """Say whether conditions are as given, for the newest spec."""
        body = self.cluster.get(self.managed(name))
        status = (body or {}).get("status") or {}
        found = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        is_new = bool(body) and status.get("observedGeneration") == body["metadata"]["generation"]
        return is_new and conditions.items() <= found.items() and not status.get("rotation")

    def values(self, name: str = "auth") -> dict[str, str] | None:
        """Return what the Secret holds, as digests that a failure may show."""
        found = self.cluster.get(self.space.secret(name))
        return {key: digest(value) for key, value in values_of(found).items()} if found else None

    def kept_there(self, name: str = "auth") -> dict[str, str] | None:
        """Return what the store holds, likewise."""
        found = self.kept(name)
        return {key: digest(value.reveal()) for key, value in found.items()} if found is not None else None


@contextmanager
def vault_namespaces(cluster: Cluster, server: VaultServer, count: int) -> Iterator[list[VaultNamespace]]:
    """Create namespaces whose stores share one proxy."""
    with store_proxy(server.address) as before:
        names = [f"shop-{secrets.token_hex(4)}" for _ in range(count)]
        made = [VaultNamespace(server, name, WorkloadNamespace(cluster, name), before) for name in names]
        for vault in made:
            vault.open()
        yield made


def operator_of(vault: VaultNamespace, kubeconfig: Path, log: Path) -> KeptOperator:
    """Make an operator of all namespaces that may reach stores."""
    env = {"POD_NAMESPACE": vault.space.namespace}
    return KeptOperator(kubeconfig, log, "--all-namespaces", "--allow-host=127.0.0.1", env=env)
