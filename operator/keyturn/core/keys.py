"""Which object is meant."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ObjectKey", "WorkloadKey"]


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """A namespaced object of a kind that the context names."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class WorkloadKey:
    """A Deployment, StatefulSet or DaemonSet."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"
