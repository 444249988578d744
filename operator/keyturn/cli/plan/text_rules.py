"""Checks the types of a manifest, and its texts by the rules of the schema about one text, such as patterns.

The API server evaluates the rules, which are CEL. Here are the few expressions of which nearly all rules about a text
consist; a rule with another one is left to the API server.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["broken_rules", "is_broken"]

_TYPES: Final[dict[str, tuple[type | tuple[type, ...], str]]] = {
    "string": (str, "a text: quote it"),
    "boolean": (bool, "true or false, without quotes"),
    "integer": (int, "a whole number, without quotes"),
    "number": ((int, float), "a number, without quotes"),
    "array": (list, "a list"),
    "object": (dict, "an object with fields"),
}
"""Python's types by those of the schema, and what to write."""

_TERM: Final = re.compile(
    r"(?P<not>!?)self"
    r"(?:\.(?P<call>matches|startsWith|endsWith)\((?P<raw>r?)'(?P<given>[^']*)'\)| != '(?P<other>[^']*)')"
)


def broken_rules(part: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield each wrong type, each missing field, and the message of each rule that a text breaks, without the text.

    A field without a value is dropped by the API server.
    """
    if schema.get("type") in _TYPES and not _is_of(part, schema["type"]):
        yield _wrong_type(part, schema, path)
    elif isinstance(part, str):
        yield from (f"{path}: {message}" for message in _broken_by(part, schema))
    elif isinstance(part, list):
        for number, one in enumerate(part):
            yield from broken_rules(one, schema.get("items", {}), f"{path}[{number}]")
    elif isinstance(part, dict):
        missing = (name for name in schema.get("required", ()) if part.get(name) is None)
        yield from (f"{path}.{name} is missing; write it" for name in missing)
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for name, one in part.items():
            if one is None:
                continue
            below = known.get(name, others)
            yield from broken_rules(one, below if isinstance(below, dict) else {}, f"{path}.{name}")


def _wrong_type(part: Any, schema: Mapping[str, Any], path: str) -> str:
    """Return what to write instead; quotes alone do not make a number such as 30 a duration."""
    is_number = isinstance(part, int | float) and not isinstance(part, bool)
    if schema["type"] == "string" and is_number and (message := next(_broken_by(str(part), schema), None)):
        return f"{path}: {message}"
    return f"{path} has to be {_TYPES[schema['type']][1]}"


def _broken_by(text: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the message of each rule that a text breaks."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if is_broken(rule["rule"], text):
            yield rule["message"]


def _is_of(part: Any, kind: str) -> bool:
    """Whether a part has a type, as the API server sees it: 40.0 is a whole number, and true is none."""
    if isinstance(part, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(part, float):
        return part.is_integer()
    return isinstance(part, _TYPES[kind][0])


def is_broken(rule: str, text: str) -> bool | None:
    """Whether a text breaks a rule about it; None if the rule has an expression that is not known here."""
    ways = [[_holds(term, text) for term in way.split(" && ")] for way in rule.split(" || ")]
    if any(term is None for way in ways for term in way):
        return None
    return not any(all(way) for way in ways)


def _holds(term: str, text: str) -> bool | None:
    found = _TERM.fullmatch(term)
    if found is None:
        return None
    if found["call"] is None:
        return text != found["other"]
    given = found["given"] if found["raw"] else found["given"].replace("\\\\", "\\")
    try:
        is_so = {
            "matches": lambda: re.search(given, text) is not None,
            "startsWith": lambda: text.startswith(given),
            "endsWith": lambda: text.endswith(given),
        }[found["call"]]()
    except re.error:
        return None
    return is_so is not bool(found["not"])
