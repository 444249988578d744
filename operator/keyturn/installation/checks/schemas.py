"""Checks that the installed CRDs have every field of this version.

The API server's OpenAPI document has the schemas for every authenticated user (ClusterRole system:discovery), so no
permission on CustomResourceDefinitions is needed.
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from keyturn.api import GROUP, VERSION
from keyturn.installation.checks import Point
from keyturn.installation.crds.definition import KINDS
from keyturn.installation.crds.schema import Node
from keyturn.kube import errors
from keyturn.kube.client import Api

_DOCUMENT: Final = f"/openapi/v3/apis/{GROUP}/{VERSION}"
_GVK: Final = "x-kubernetes-group-version-kind"
_OPEN: Final = "x-kubernetes-preserve-unknown-fields"
_PARTS: Final = ("spec", "status")
_MAX_SHOWN: Final = 6
SHALLOW: Final[Mapping[str, Node]] = {"Recipe": {}, "ProviderChoice": {}}
"""Without the settings of generators and providers, which would all be imported."""
APPLY: Final = (
    "apply the CRDs of this release, before the operator: kubectl apply -f crds/ (with Helm, which does not upgrade"
    " CRDs: helm show crds CHART | kubectl apply --server-side --field-manager=helm --force-conflicts -f -)"
)


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed CRD, compared with this version."""

    crd: str
    is_there: bool
    lacks: tuple[str, ...]
    """Missing fields, such as `status.workloads`."""

    @property
    def is_outdated(self) -> bool:
        return not self.is_there or bool(self.lacks)

    @property
    def shortfall(self) -> str:
        """Return what is missing."""
        if not self.is_there:
            return f"{self.crd} is not installed"
        more = len(self.lacks) - _MAX_SHOWN
        fields = ", ".join(self.lacks[:_MAX_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{self.crd} lacks {fields}"


async def read(api: Api) -> dict[str, Any]:
    """Return the installed schemas by kind; none if no CRD is installed."""
    try:
        document = await api.get(_DOCUMENT)
    except errors.ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return {}
        raise
    found = document.get("components", {}).get("schemas", {}).values()
    return {gvk["kind"]: schema for schema in found for gvk in schema.get(_GVK, ()) if gvk["group"] == GROUP}


def compared(schemas: Mapping[str, Any], unions: Mapping[str, Node] | None = None) -> tuple[Installed, ...]:
    """Compare every CRD with the schemas of the cluster."""
    return tuple(
        Installed(
            f"{kind.plural}.{GROUP}",
            kind.name in schemas,
            tuple(_lacking(kind.schema(unions), schemas[kind.name])) if kind.name in schemas else (),
        )
        for kind in KINDS
    )


def points_of(found: tuple[Installed, ...]) -> list[Point]:
    """Return a point for each outdated CRD, or one for all."""
    outdated = [Point.failed("crds", one.shortfall, APPLY) for one in found if one.is_outdated]
    return outdated or [Point.ok("crds", f"all {len(found)} have every field of this version")]


def lacking(desired: Node, there: Node, path: str) -> Iterator[str]:
    """Yield fields and enumeration values that `desired` has and `there` lacks."""
    if there.get(_OPEN):
        return
    properties = there.get("properties", {})
    for name, node in desired.get("properties", {}).items():
        inner = f"{path}.{name}"
        if name in properties:
            yield from lacking(node, properties[name], inner)
        else:
            yield inner
    for part, mark in (("items", "[]"), ("additionalProperties", "[*]")):
        if isinstance(desired.get(part), dict):
            yield from lacking(desired[part], there.get(part) or {}, path + mark)
    values: list[str] = desired.get("enum", [])
    yield from (f"{path}: {value}" for value in values if value not in there.get("enum", values))


def _lacking(desired: Node, there: Node) -> Iterator[str]:
    """Compare two whole objects, except their metadata."""
    for part in _PARTS:
        inside = there.get("properties", {}).get(part)
        if inside is None:
            yield part
        else:
            yield from lacking(desired["properties"][part], inside, part)
