"""Keys of the objects that Keyturn reads and writes: kind, namespace and name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from keyturn.api.account import TargetRef
    from keyturn.api.source import StoreRef

STATE_SUFFIX = "-keyturn"
"""Of the name of a state Secret, after the name of its ManagedSecret."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Namespace and name of an object whose kind is known from the context."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ProbeKey:
    """The probe of the database credential of a ManagedSecret, which needs no reconcile."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"probe of {self.namespace}/{self.name}"

    @classmethod
    def of(cls, key: ObjectKey) -> Self:
        return cls(key.namespace, key.name)

    @property
    def managed(self) -> ObjectKey:
        """The ManagedSecret whose credential is probed."""
        return ObjectKey(self.namespace, self.name)


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
    def of_body(cls, body: Mapping[str, Any]) -> Self:
        return cls(body["metadata"]["namespace"], body["metadata"]["name"])


SECRET_STORE = "SecretStore"  # noqa: S105  # the name of a kind
CLUSTER_SECRET_STORE = "ClusterSecretStore"  # noqa: S105
DATABASE_TARGET = "DatabaseTarget"
CLUSTER_DATABASE_TARGET = "ClusterDatabaseTarget"


@dataclass(frozen=True, slots=True, order=True)
class ExternalKey:
    """A store or a database target: of one namespace, or of all, then without namespace."""

    kind: str
    namespace: str
    name: str

    kind_of_namespace: ClassVar[str]
    kind_for_all: ClassVar[str]

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"

    @property
    def is_for_all(self) -> bool:
        return self.kind == self.kind_for_all

    @classmethod
    def of(cls, ref: "StoreRef | TargetRef", namespace: str) -> Self:
        """Return the key of what `ref` names in an object of `namespace`."""
        return cls.named(str(ref.kind) if ref.kind else None, ref.name, namespace)

    @classmethod
    def of_body(cls, kind: str, body: Mapping[str, Any]) -> Self:
        metadata = body["metadata"]
        return cls(kind, metadata.get("namespace", ""), metadata["name"])

    @classmethod
    def named(cls, kind: str | None, name: str, namespace: str) -> Self:
        """Return the key for a reference in `namespace`; without a kind it means that of a namespace."""
        kind = kind or cls.kind_of_namespace
        return cls(kind, "" if kind == cls.kind_for_all else namespace, name)


class StoreKey(ExternalKey):
    """A SecretStore or a ClusterSecretStore."""

    __slots__ = ()
    kind_of_namespace, kind_for_all = SECRET_STORE, CLUSTER_SECRET_STORE


class TargetKey(ExternalKey):
    """A DatabaseTarget or a ClusterDatabaseTarget."""

    __slots__ = ()
    kind_of_namespace, kind_for_all = DATABASE_TARGET, CLUSTER_DATABASE_TARGET
