"""CustomResourceDefinition of each kind: names, columns, schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from keyturn.api import (
    GROUP,
    VERSION,
    ClusterDatabaseTarget,
    ClusterSecretStore,
    DatabaseTarget,
    EmergencyRotation,
    ManagedSecret,
    SecretClass,
    SecretStore,
)
from keyturn.api.meta import NEVER_LOOKED, NEVER_OBSERVED
from keyturn.core.reasons import ConditionReason
from keyturn.core.status.summary import SummaryState

from .schema import Node, structural

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pydantic

# The operator alone writes a status, so the API server records its manager once and not for each field.
_WRITTEN_WHOLE = {"x-kubernetes-map-type": "atomic"}
_WAITING = "Waiting for the Keyturn operator; if this stays, see kubectl get pods -n keyturn-system"
_KEPT: Final = {"argocd.argoproj.io/sync-options": "Delete=false,Prune=false"}
"""Argo CD keeps the CRDs, and with them all objects, when it deletes an Application.

Source: Argo CD, "Sync Options", "No Resource Deletion" and "No Prune Resources".
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    """0 is always printed, 1 with `-o wide`."""

    def render(self) -> Node:
        shown = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**shown, "priority": self.priority} if self.priority else shown


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of the API group."""

    model: type[pydantic.BaseModel]
    plural: str
    short: str
    scope: str
    columns: tuple[Column, ...]
    first: str = "Ready"
    """Condition with an initial value that shows that the operator has not reconciled an object yet."""
    state: str | None = None
    """Initial value of `status.state`, for a kind that has it."""

    @property
    def name(self) -> str:
        return self.model.__name__

    def schema(self, unions: Mapping[str, Node] | None = None) -> Node:
        """Return the schema of an object; of its metadata only what validation rules use."""
        schema = structural(self.model, unions)
        schema["properties"]["metadata"] = {"type": "object", "properties": {"name": {"type": "string"}}}
        schema["required"].remove("metadata")
        schema["properties"]["status"] |= {"default": self._never_looked_at(), **_WRITTEN_WHOLE}
        return schema

    def _never_looked_at(self) -> Node:
        waiting = {
            "type": self.first,
            "status": "Unknown",
            "reason": str(ConditionReason.PENDING),
            "message": _WAITING,
            "lastTransitionTime": NEVER_LOOKED,
        }
        state = {"state": self.state} if self.state else {}
        return {"observedGeneration": NEVER_OBSERVED, "conditions": [waiting], **state}

    def render(self) -> Node:
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{GROUP}", "annotations": _KEPT},
            "spec": {
                "group": GROUP,
                "names": self._names(),
                "scope": self.scope,
                "versions": [self._version()],
            },
        }

    def _names(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "listKind": f"{self.name}List",
            "plural": self.plural,
            "singular": self.name.lower(),
            "shortNames": [self.short],
            "categories": ["keyturn"],
        }

    def _version(self) -> Node:
        return {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [column.render() for column in self.columns],
            "schema": {"openAPIV3Schema": self.schema()},
        }


def _condition(type_: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_STORE_COLUMNS = (
    # The kind is a property's name, which no JSONPath prints, so the status repeats it.
    Column("Provider", ".status.provider"),
    Column("Ready", _condition("Ready", "status")),
    Column("Reason", _condition("Ready", "reason")),
    _AGE,
    Column("Message", _condition("Ready", "message"), priority=1),
)
_TARGET_COLUMNS = (
    Column("Engine", ".status.engine"),
    Column("Ready", _condition("Ready", "status")),
    Column("Reason", _condition("Ready", "reason")),
    Column("Version", ".status.version"),
    _AGE,
    Column("Message", _condition("Ready", "message"), priority=1),
)

KINDS = (
    Kind(
        ManagedSecret,
        plural="managedsecrets",
        short="ms",
        scope="Namespaced",
        columns=(
            Column("Ready", _condition("Ready", "status")),
            Column("Status", ".status.state"),
            Column("Revision", ".status.revision", "integer"),
            Column("Workloads", ".status.workloadsSummary"),
            Column("Last Rotation", ".status.lastRotationTime", "date"),
            # kubectl prints a date as an age, and a future one as <invalid>.
            Column("Next Rotation", ".status.nextRotationTime"),
            Column("Class", ".status.className"),
            _AGE,
            Column("Secret", ".status.secretName", priority=1),
            Column("Owner", ".spec.owner", priority=1),
            Column("Suspended", ".spec.suspend", "boolean", priority=1),
            # The step of a rotation, or what pauses it, such as Held.
            Column("Rotation", _condition("Rotating", "reason"), priority=1),
            Column("Message", _condition("Ready", "message"), priority=1),
        ),
        state=SummaryState.NOT_READY.value,
    ),
    Kind(
        SecretClass,
        plural="secretclasses",
        short="sclass",
        scope="Cluster",
        columns=(
            Column("Priority", ".spec.priority"),
            Column("Every", ".spec.rotation.every"),
            Column("Min Length", ".spec.minLength", "integer"),
            Column("Ready", _condition("Ready", "status")),
            _AGE,
            Column("Description", ".spec.description", priority=1),
            Column("Message", _condition("Ready", "message"), priority=1),
        ),
    ),
    Kind(SecretStore, plural="secretstores", short="kstore", scope="Namespaced", columns=_STORE_COLUMNS),
    Kind(
        ClusterSecretStore,
        plural="clustersecretstores",
        short="kcstore",
        scope="Cluster",
        columns=_STORE_COLUMNS,
    ),
    Kind(DatabaseTarget, plural="databasetargets", short="dbt", scope="Namespaced", columns=_TARGET_COLUMNS),
    Kind(
        ClusterDatabaseTarget,
        plural="clusterdatabasetargets",
        short="cdbt",
        scope="Cluster",
        columns=_TARGET_COLUMNS,
    ),
    Kind(
        EmergencyRotation,
        plural="emergencyrotations",
        short="er",
        scope="Namespaced",
        columns=(
            Column("Incident", ".spec.incident"),
            Column("Secrets", ".status.progress"),
            Column("Rotated", _condition("Rotated", "status")),
            Column("Updated", _condition("ServicesUpdated", "status")),
            Column("Audited", _condition("AccessAudited", "status")),
            Column("Documented", _condition("Documented", "status")),
            Column("Overdue", _condition("Overdue", "status")),
            Column("Due", ".status.dueAt"),
            _AGE,
            Column("Reason", ".spec.reason", priority=1),
            Column("Message", _condition("Overdue", "message"), priority=1),
        ),
        first="Rotated",
    ),
)
