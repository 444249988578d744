"""Converts a model to the structural schema of a CRD."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import pydantic

from keyturn.core import reasons

Node = dict[str, Any]

_RULES = "x-kubernetes-validations"
_NULL = {"type": "null"}
_INT32_MAX = 2**31 - 1
_REASONS: Final = re.compile(r"\{(\w+(?:Reason|Result))\}")
"""Place of the codes of an enum of reasons in a description: its name in braces."""

_KEPT = (
    "description",
    "type",
    "enum",
    "pattern",
    "format",
    *("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"),
    *("minProperties", "maxProperties"),
    "required",
)
# The API server writes defaults into objects, which GitOps tools report as drift.
_LEFT_OUT = ("title", "default")


def structural(model: type[pydantic.BaseModel], unions: Mapping[str, Node] | None = None) -> Node:
    """Return the schema of `model` without references, nulls, defaults and titles.

    `unions` replaces the settings of generators and providers, which are not imported then.

    Raises:
        ValueError: The model has a construct that structural schemas do not support.
    """
    whole = model.model_json_schema()
    definitions = whole.pop("$defs", {})
    if unions is None:
        unions = {name: _union(*_UNIONS[name]) for name in _UNIONS if name in definitions}
    return _inline(whole, {**definitions, **unions})


def _generators() -> Mapping[str, Any]:
    from keyturn import generators  # noqa: PLC0415  # `keyturn check` compares without the settings

    return generators.discover()


def _providers() -> Mapping[str, Any]:
    from keyturn.stores import providers  # noqa: PLC0415

    return providers.discover()


_UNIONS: Mapping[str, tuple[Callable[[], Mapping[str, Any]], str]] = {
    "Recipe": (_generators, "write exactly one generator under generate, such as password: {length: 40}"),
    "ProviderChoice": (_providers, "write exactly one provider under provider, such as kubernetes: {}"),
}
"""Settings that are collected from generators and providers, by model name."""


def _union(discover: Callable[[], Mapping[str, Any]], message: str) -> Node:
    """Join the settings into one object with exactly one property."""
    return {
        "type": "object",
        "properties": {kind: structural(brought.Config) for kind, brought in discover().items()},
        # With has() for each property the API server would report all of them; unknown properties are pruned before.
        _RULES: [{"rule": "dyn(self).size() == 1", "message": message}],
    }


def _inline(node: Node, definitions: Mapping[str, Node]) -> Node:
    node = _without_indirection(node, definitions)
    return {key: value for name in node for key, value in _translated(name, node, definitions)}


def _without_indirection(node: Node, definitions: Mapping[str, Node]) -> Node:
    """Inline a reference, or the only alternative of an optional."""
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
    elif "anyOf" in node:
        alternatives = [alternative for alternative in node["anyOf"] if alternative != _NULL]
        if len(alternatives) != 1:
            raise ValueError(f"a structural schema has no unions: {alternatives}")
        target = alternatives[0]
    else:
        return node
    rest = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
    return _without_indirection(_merged(target, rest), definitions)


def _merged(target: Node, rest: Node) -> Node:
    merged = {**target, **rest}
    if _RULES in target and _RULES in rest:
        merged[_RULES] = [*target[_RULES], *rest[_RULES]]
    return merged


def _translated(key: str, node: Node, definitions: Mapping[str, Node]) -> Iterator[tuple[str, Any]]:
    value = node[key]
    if key in _LEFT_OUT:
        return
    if key == "description":
        yield key, _REASONS.sub(_codes, " ".join(value.split("\n\n", maxsplit=1)[0].split()))
    elif key == "properties":
        if value:  # the API server drops an empty map, and Argo CD would apply it again for ever
            yield key, {name: _inline(child, definitions) for name, child in value.items()}
    elif key in {"items", "additionalProperties"}:
        yield key, _inline(value, definitions)
    elif key in _KEPT or key.startswith("x-kubernetes-"):
        yield key, value
        if key == "type" and value == "integer":
            yield "format", "int32" if node.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64"
    else:
        raise ValueError(f"a structural schema has no {key!r}: {node}")


def _codes(found: re.Match[str]) -> str:
    """Return the codes of the enum that a description names in braces."""
    family: type[StrEnum] = getattr(reasons, found[1])
    *others, last = family
    return f"{', '.join(others)} or {last}"
