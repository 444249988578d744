"""Keys of the objects that Keyturn reads and writes: kind, namespace and name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.api.database import TargetRef
    from keyturn.api.source import StoreRef

__all__ = [
    "CLUSTER_DATABASE_TARGET",
    "CLUSTER_SECRET_STORE",
    "DATABASE_TARGET",
    "SECRET_STORE",
    "EmergencyKey",
    "ObjectKey",
    "StoreKey",
    "TargetKey",
    "WorkloadKey",
    "meant",
]


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Namespace and name of an object whose kind is known from the context."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class WorkloadKey:
    """A workload of one of the kinds that are restarted."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class EmergencyKey:
    """An EmergencyRotation."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"EmergencyRotation {self.namespace}/{self.name}"

    @classmethod
    def of_body(cls, body: Mapping[str, Any]) -> EmergencyKey:
        return cls(body["metadata"]["namespace"], body["metadata"]["name"])


SECRET_STORE = "SecretStore"  # noqa: S105  # the name of a kind
CLUSTER_SECRET_STORE = "ClusterSecretStore"  # noqa: S105


@dataclass(frozen=True, slots=True, order=True)
class StoreKey:
    """A SecretStore, or a ClusterSecretStore, which has no namespace."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"

    @property
    def is_for_all(self) -> bool:
        return self.kind == CLUSTER_SECRET_STORE

    @classmethod
    def of(cls, ref: StoreRef, namespace: str) -> StoreKey:
        """Return the key of the store that `ref` names in an object of `namespace`."""
        return meant(str(ref.kind or SECRET_STORE), ref.name, namespace)

    @classmethod
    def of_body(cls, kind: str, body: Mapping[str, Any]) -> StoreKey:
        metadata = body["metadata"]
        return cls(kind, metadata.get("namespace", ""), metadata["name"])


def meant(kind: str, name: str, namespace: str) -> StoreKey:
    """Return the key of a store; a ClusterSecretStore has no namespace."""
    return StoreKey(kind, "" if kind == CLUSTER_SECRET_STORE else namespace, name)


DATABASE_TARGET = "DatabaseTarget"
CLUSTER_DATABASE_TARGET = "ClusterDatabaseTarget"


@dataclass(frozen=True, slots=True, order=True)
class TargetKey:
    """A DatabaseTarget, or a ClusterDatabaseTarget, which has no namespace."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"

    @property
    def is_for_all(self) -> bool:
        return self.kind == CLUSTER_DATABASE_TARGET

    @classmethod
    def of(cls, ref: TargetRef, namespace: str) -> TargetKey:
        """Return the key of the target that `ref` names in an object of `namespace`."""
        return cls.meant(str(ref.kind or DATABASE_TARGET), ref.name, namespace)

    @classmethod
    def of_body(cls, kind: str, body: Mapping[str, Any]) -> TargetKey:
        metadata = body["metadata"]
        return cls(kind, metadata.get("namespace", ""), metadata["name"])

    @classmethod
    def meant(cls, kind: str, name: str, namespace: str) -> TargetKey:
        """Return the key of a target; a ClusterDatabaseTarget has no namespace."""
        return cls(kind, "" if kind == CLUSTER_DATABASE_TARGET else namespace, name)
