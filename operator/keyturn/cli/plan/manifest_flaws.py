"""What the API server would refuse of a manifest, as far as it shows without a request.

Rules over several fields are CEL, which only the API server evaluates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pydantic

from keyturn.api import API_VERSION, GROUP
from keyturn.api.managedsecret import LONGEST_NAME, NAME_IS_LABEL
from keyturn.api.meta import Name
from keyturn.api.target import NAMES_OF_STATES
from keyturn.core.state.state import state_name

from .text_rules import broken_rules
from .unknown_fields import schema_of, unknown_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["flaws_of", "is_ours"]

_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: Final = {
    "properties": {
        "name": pydantic.TypeAdapter(Name).json_schema(),
        "labels": _TEXTS,
        "annotations": _TEXTS,
    }
}


def is_ours(body: Mapping[str, Any], kind: str) -> bool:
    """Whether a document is of a kind of Keyturn; another group may have a kind of the same name."""
    group, slash, _ = str(body.get("apiVersion")).partition("/")
    return body.get("kind") == kind and not (slash and group != GROUP)


def flaws_of(body: Mapping[str, Any], kind: str) -> list[str]:
    """Return a message for each flaw, with a remedy and without values."""
    schema = schema_of(kind)
    parts: dict[str, Any] = {"metadata": _METADATA, "spec": schema["properties"]["spec"]}
    return [
        *_header_flaws(body, schema),
        *unknown_fields(body, kind),
        *(
            flaw
            for name, one in parts.items()
            if body.get(name) is not None
            for flaw in broken_rules(body[name], one, name)
        ),
        *(_name_flaws(body) if kind == "ManagedSecret" else ()),
    ]


def _header_flaws(body: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    if body.get("apiVersion") != API_VERSION:
        yield f"apiVersion is not {API_VERSION}; write that"
    if body.get("spec") is None and "spec" in schema["required"]:
        yield "spec is missing; write it"


def _name_flaws(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the rules of ManagedSecret say about its name."""
    name, spec = body["metadata"]["name"], body.get("spec")
    target = spec.get("target") if isinstance(spec, dict) else None
    if len(name) > LONGEST_NAME:
        yield f"metadata.name: {NAME_IS_LABEL}"
    if name.endswith(state_name("")) and not (isinstance(target, dict) and target.get("name")):
        yield f"metadata.name: {NAMES_OF_STATES}"
