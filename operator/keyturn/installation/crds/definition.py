"""CustomResourceDefinition of each kind: names, columns, schema."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pydantic

from keyturn.api import (
    GROUP,
    NEVER_OBSERVED,
    NEVER_RECONCILED,
    VERSION,
    ClusterDatabaseTarget,
    ClusterSecretStore,
    DatabaseTarget,
    EmergencyRotation,
    ManagedSecret,
    SecretClass,
    SecretStore,
)
from keyturn.core.reasons import ConditionReason
from keyturn.core.status.summary import SummaryState

from .schema import Node, structural

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
            "lastTransitionTime": NEVER_RECONCILED,
        }
        state = {"state": self.state} if self.state else {}
        return {"observedGeneration": NEVER_OBSERVED, "conditions": [waiting], **state}

    def render(self) -> Node:
        names = {
            "kind": self.name,
            "listKind": f"{self.name}List",
            "plural": self.plural,
            "singular": self.name.lower(),
            "shortNames": [self.short],
            "categories": ["keyturn"],
        }
        version = {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [column.render() for column in self.columns],
            "schema": {"openAPIV3Schema": self.schema()},
        }
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{self.plural}.{GROUP}", "annotations": _KEPT},
            "spec": {"group": GROUP, "names": names, "scope": self.scope, "versions": [version]},
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


_INTRODUCTION = f"""\
# API reference

Group `{GROUP}`, version `{VERSION}`. In a cluster, `kubectl explain <kind>.spec` prints the same sentences.
A field in **bold** must be written. Durations are written as `90d`, `2160h` or `1d12h` (units `s m h d w`).
"""


@dataclass(frozen=True, slots=True)
class _Field:
    """A row of the table: a field with its schema."""

    path: str
    schema: Node
    is_required: bool

    def render(self) -> str:
        name = f"**`{self.path}`**" if self.is_required else f"`{self.path}`"
        text = self.schema["description"].replace("|", "\\|")
        return f"| {name} | {_type_of(self.schema)} | {text} |"


def reference_page(kinds: Iterable[Kind]) -> str:
    """Render the reference as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(kind) for kind in kinds)])


def _section(kind: Kind) -> str:
    schema = kind.schema()
    rows = [field.render() for field in _fields(schema, "")]
    get = f"{kind.scope}; `kubectl get {kind.plural}`, in short `kubectl get {kind.short}`."
    lines = [f"## {kind.name}", "", f"{schema['description']} {get}", ""]
    lines += ["| field | type | meaning |", "|---|---|---|", *rows, ""]
    lines += ["The API server refuses what breaks one of these rules, with the sentence:", ""]
    return "\n".join([*lines, *_rules(schema, ""), ""])


def _fields(schema: Node, path: str) -> Iterator[_Field]:
    for name, child in schema.get("properties", {}).items():
        if "description" not in child:  # Kubernetes' own metadata
            continue
        here = f"{path}.{name}".removeprefix(".")
        yield _Field(here, child, name in schema.get("required", ()))
        yield from _fields(*_inside(child, here))


def _inside(schema: Node, path: str) -> tuple[Node, str]:
    """Return the schema of a list's items."""
    return (schema["items"], f"{path}[]") if "items" in schema else (schema, path)


def _rules(schema: Node, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        field = f"{path}{rule.get('fieldPath', '')}".removeprefix(".")
        yield f"- `{field}`: {rule['message']}"
    for name, child in schema.get("properties", {}).items():
        yield from _rules(child, f"{path}.{name}".removeprefix("."))
    for child in (schema.get(key) for key in ("items", "additionalProperties")):
        yield from _rules(child, f"{path}[]") if child else ()


def _type_of(schema: Node) -> str:
    match schema:
        case {"enum": choices}:
            return " \\| ".join(f"`{choice}`" for choice in choices)
        case {"type": "array", "items": items}:
            return f"list of {_type_of(items)}"
        case {"type": "object", "additionalProperties": values}:
            return f"map to {_type_of(values)}"
        case {"format": "date-time"}:
            return "time"
        case _:
            return str(schema["type"])
