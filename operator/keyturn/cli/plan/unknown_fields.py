"""Finds unknown fields of a manifest, which the API server rejects too, and suggests known ones."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from keyturn.installation.crds.definition import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["schema_of", "unknown_fields"]

_FEW = 12
_ANY: Final[Mapping[str, Any]] = {}
_OF_OTHER_TOOLS: Final = {"key": "name", "secretKey": "name", "value": "literal"}
"""For fields of data in other tools, those that mean the same here."""
_METADATA: Final = (
    *("annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
    *("generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences"),
    *("resourceVersion", "selfLink", "uid"),
)
"""The fields of ObjectMeta. Source: Kubernetes, `meta/v1`."""


def unknown_fields(body: Mapping[str, Any], kind: str) -> list[str]:
    """Return a message for each unknown field of an object, with a suggestion and without values."""
    spec = schema_of(kind)["properties"]["spec"]
    metadata = {"properties": dict.fromkeys(_METADATA, _ANY)}
    known = {"apiVersion": _ANY, "kind": _ANY, "metadata": metadata, "spec": spec, "status": _ANY}
    return list(_unknown(body, {"properties": known}, ""))


def schema_of(kind: str) -> Mapping[str, Any]:
    """Return the schema of a kind, as its CustomResourceDefinition has it."""
    return next(one.schema() for one in KINDS if one.name == kind)


def _unknown(part: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(part, list):
        for number, one in enumerate(part):
            yield from _unknown(one, schema.get("items", {}), f"{path}[{number}]")
    known = schema.get("properties")
    if not isinstance(part, dict) or known is None:
        return
    for name, below in part.items():
        place = f"{path}.{name}" if path else str(name)
        if name in known:
            yield from _unknown(below, known[name], place)
        else:
            yield f"{place} is unknown; {_instead(str(name), known)}"


def _instead(name: str, known: Mapping[str, Any]) -> str:
    if name in _OF_OTHER_TOOLS and "literal" in known:
        return f"write {_OF_OTHER_TOOLS[name]}"
    if like := difflib.get_close_matches(name, known, n=1, cutoff=0.7):
        return f"write {like[0]}"
    names = sorted(known)
    more = f" and {len(names) - _FEW} more, see `kubectl explain`" if len(names) > _FEW else ""
    return f"there is {', '.join(names[:_FEW])}{more}" if names else "there are no fields here, so write {}"
