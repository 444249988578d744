"""Rules of the schema about one text are checked as the API server does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.cli.plan.text_rules import broken_rules, is_broken
from keyturn.cli.plan.unknown_fields import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEY = "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')"
_REFRESH = "self.matches('[1-9][0-9]*[mhdw]|[1-9][0-9]+s') || !self.matches('^([0-9]+[smhdw])+$')"


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        (_KEY, "tls.crt", False),
        (_KEY, "a/b", True),
        (_KEY, ".", True),
        (_KEY, "..a", True),
        ("!self.endsWith('.previous')", "token.previous", True),
        ("!self.endsWith('.previous')", "previous", False),
        (_REFRESH, "10s", False),
        (_REFRESH, "9s", True),
        (_REFRESH, "no duration", False),
        (r"self.matches('^\\s*(\\S+\\s+){4}\\S+\\s*$')", "0 3 1 * *", False),
        (r"self.matches('^\\s*(\\S+\\s+){4}\\S+\\s*$')", "0 3 1 *", True),
        (r"self.matches(r'^[^\x00-\x1f]+$')", "a\tb", True),
        ("isIP(self)", "x", None),
        ("self.matches('^(?i)root$')", "x", None),
    ],
)
def test_a_rule_is_evaluated_or_left_to_the_api_server(
    rule: str,
    text: str,
    expected: bool | None,  # noqa: FBT001
) -> None:
    assert is_broken(rule, text) is expected


def test_a_broken_rule_is_named_with_its_place() -> None:
    schema = {
        "properties": {"list": {"items": {"x-kubernetes-validations": [{"rule": _KEY, "message": "no"}]}}},
        "additionalProperties": {"x-kubernetes-validations": [{"rule": _KEY, "message": "never"}]},
    }

    assert list(broken_rules({"list": ["a", "/"], "b": "/", "c": 1}, schema, "spec")) == [
        "spec.list[1]: no",
        "spec.b: never",
    ]


@pytest.mark.parametrize(
    ("kind", "part", "sentence"),
    [
        ("string", 5, "a text: quote it"),
        ("string", True, "a text: quote it"),
        ("string", {}, "a text: quote it"),
        ("string", "5", None),
        ("boolean", "false", "true or false, without quotes"),
        ("boolean", 0, "true or false, without quotes"),
        ("boolean", False, None),
        ("integer", "40", "a whole number, without quotes"),
        ("integer", 40.5, "a whole number, without quotes"),
        ("integer", True, "a whole number, without quotes"),
        ("integer", 40.0, None),
        ("number", "1", "a number, without quotes"),
        ("number", 1, None),
        ("array", {"a": 1}, "a list"),
        ("array", [None], None),
        ("object", "hello", "an object with fields"),
        ("object", {"a": None}, None),
    ],
)
def test_a_wrong_type_is_named_with_its_place_and_without_it(
    kind: str, part: Any, sentence: str | None
) -> None:
    expected = [] if sentence is None else [f"spec has to be {sentence}"]

    assert list(broken_rules(part, {"type": kind}, "spec")) == expected


def test_a_number_that_breaks_the_rule_of_a_text_is_named_by_the_rule() -> None:
    schema = {
        "type": "string",
        "x-kubernetes-validations": [{"rule": "self.matches('[smhdw]')", "message": "add a unit"}],
    }

    assert list(broken_rules(30, schema, "every")) == ["every: add a unit"]


def test_a_field_without_a_value_is_dropped_and_an_item_is_not() -> None:
    schema = {"additionalProperties": {"type": "array", "items": {"type": "string"}}}

    assert list(broken_rules({"a": None, "b": ["x", None]}, schema, "spec")) == [
        "spec.b[1] has to be a text: quote it"
    ]


@pytest.mark.parametrize("kind", ["ManagedSecret", "SecretClass"])
def test_nearly_every_rule_about_a_text_is_evaluated(kind: str) -> None:
    left = {rule for rule in _rules_of(schema_of(kind)) if is_broken(rule, "x") is None}

    reserved = "!self.matches('^(?i)(pg_.*|"  # Python has the flag at the start only
    assert {rule[: len(reserved)] for rule in left} <= {"isIP(self)", reserved}


def _rules_of(schema: Any) -> Iterator[str]:
    """Yield the rules of every text of a schema."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "string":
        yield from (rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
    for below in (
        *schema.get("properties", {}).values(),
        schema.get("items"),
        schema.get("additionalProperties"),
    ):
        yield from _rules_of(below)
