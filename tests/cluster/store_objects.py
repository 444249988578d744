"""Stores of a test's own, and what a test does with them and reads of them."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.harness import eventually
from tests.cluster.namespace import Space
from tests.support.objects import Body
from tests.support.store_proxy import StoreProxy
from tests.support.vault_folder import VaultFolder


def pulled(name: str, key: str, store: str = "store", **ref: Any) -> Body:
    """Ask for a value of a SecretStore, or with `kind` and another `store` of another one."""
    store_ref = {"name": store, **({"kind": ref.pop("kind")} if "kind" in ref else {})}
    return {"name": name, "from": {"storeRef": store_ref, "remoteRef": {"key": key, **ref}}}


@dataclass(frozen=True, slots=True)
class Stores:
    """Stores of one namespace, and cluster-wide ones that are named after it and go with the test."""

    space: Space
    files: Path
    """A folder that the operator may read."""
    made: list[str] = field(default_factory=list)

    @property
    def for_all(self) -> str:
        """The name of this test's ClusterSecretStore."""
        return f"store-{self.space.namespace}"

    def write(self, provider: Body, name: str = "store", **spec: Any) -> None:
        """Create a SecretStore, or give it another spec."""
        self._write("SecretStore", name, {"provider": provider, **spec})

    def write_for_all(self, provider: Body, **spec: Any) -> None:
        """Create a ClusterSecretStore, which serves this namespace unless `spec` says otherwise."""
        allowed = {"allowedNamespaces": {"names": [self.space.namespace]}}
        self._write("ClusterSecretStore", self.for_all, {"provider": provider, **allowed, **spec})
        if self.for_all not in self.made:
            self.made.append(self.for_all)

    def write_files(self, **spec: Any) -> None:
        """Create a ClusterSecretStore of this test's folder."""
        self.write_for_all({"files": {"path": str(self.files)}}, **spec)

    def keep(self, name: str, value: str) -> None:
        """Put a file into the folder, as an editor does."""
        new = self.files / f"..{name}"
        new.write_text(value)
        new.replace(self.files / name)

    def keep_json(self, name: str, **members: object) -> None:
        self.keep(name, json.dumps(members))

    def from_file(self, name: str, key: str | None = None, **more: Any) -> Body:
        """Ask for a file of the folder, or for a part of it; what is no part of remoteRef goes into the item."""
        item = {part: more.pop(part) for part in ("keys",) if part in more}
        return {**pulled(name, key or name, self.for_all, kind="ClusterSecretStore", **more), **item}

    def all_of(self, key: str, prefix: str | None = None) -> Body:
        """Ask for every property of a file of the folder."""
        ref = {"storeRef": {"name": self.for_all, "kind": "ClusterSecretStore"}, "remoteRef": {"key": key}}
        return ref if prefix is None else {**ref, "prefix": prefix}

    def status(self, name: str = "store", kind: str = "SecretStore") -> Body:
        return dict(self.space.get(kind, name).get("status") or {})

    def condition(self, type_: str, name: str = "store", kind: str = "SecretStore") -> Body | None:
        found = self.status(name, kind).get("conditions", ())
        return next((one for one in found if one["type"] == type_), None)

    def until(self, reason: str, name: str = "store", kind: str = "SecretStore") -> str:
        """Wait until Ready has a reason, for the newest spec; return its message."""
        found: Body = {}

        def holds() -> bool:
            body = self.space.get(kind, name)
            conditions = (body.get("status") or {}).get("conditions", ())
            found.update(next((one for one in conditions if one["type"] == "Ready"), {}))
            is_new = found.get("observedGeneration") == body["metadata"]["generation"]
            return bool(is_new and found["reason"] == reason)

        eventually(holds, f"{kind} {name} is {reason}")
        assert found["status"] == ("True" if reason == "Valid" else "False")
        return str(found["message"])

    def until_for_all(self, reason: str) -> str:
        return self.until(reason, self.for_all, "ClusterSecretStore")

    def delete(self) -> None:
        """Delete the cluster-wide ones, which no namespace takes with it."""
        for name in self.made:
            if self.space.find("ClusterSecretStore", name):
                self.space.objects.delete("ClusterSecretStore", "", name)

    def _write(self, kind: str, name: str, spec: Body) -> None:
        if self.space.find(kind, name):
            self.space.edit(kind, name, lambda there: there.update(spec=spec))
        else:
            self.space.create({"kind": kind, "metadata": {"name": name}, "spec": spec})


@dataclass(frozen=True, slots=True)
class Vault(VaultFolder):
    """A SecretStore of a real Vault with something before it, and what is kept there."""

    space: Space
    store_proxy: StoreProxy

    def write_store(self, name: str = "store", **spec: Any) -> None:
        """Create the SecretStore with its login, or give it another spec."""
        data = {"token": base64.b64encode(self.server.token.encode()).decode()}
        if not self.space.find("Secret", "login"):
            self.space.create({"kind": "Secret", "metadata": {"name": "login"}, "data": data})
        auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
        vault = {"server": self.store_proxy.address, "auth": auth}
        Stores(self.space, Path()).write({"vault": vault}, name, **{"refresh": {"minInterval": "1s"}, **spec})

    def push(self, name: str = "auth", **more: Any) -> Body:
        return {"storeRef": {"name": "store"}, "remoteRef": {"key": self.key(name)}, **more}

    def pull(self, name: str, property_: str, key: str = "auth", **ref: Any) -> Body:
        return pulled(name, self.key(key), property=property_, **ref)
