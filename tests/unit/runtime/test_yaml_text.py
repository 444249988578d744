"""Plain scalars have the types that kubectl reads; tests/cluster/cli/test_yaml.py compares with kubectl."""

from typing import Any

import pytest
import yaml

from keyturn.runtime import yaml_text
from keyturn.runtime.yaml_text import dump

QUOTED = [
    "y",
    "Y",
    "n",
    "N",
    "08",
    "0899",
    "1e10",
    "12e5",
    ".5e3",
    "0o17",
    "0e0",
    "-.5",
    "+.5e3",
    "1e+5",
    "-0o17",
]
QUOTED += ["0X1F", "0B1", "0O17", "1E5", "1e5_0", "0b-1", "1.e5"]
"""Texts that kubectl reads as a number or a boolean without quotes."""
PLAIN = ["a", "yes-no", "1.2.3", "0a", "1e", "0o", "10.0.0.1", "2h", "v1", "nobody"]
TEXTS = ["2026-11-24", "2026-13-45", "2026-11-24T10:00:00Z", "12:30:45", "12:30.5", "=", "0b_", "0o_", "0x_"]
"""Texts that PyYAML reads as a date, a number of base 60 or an unknown type, or fails at."""
OTHERS: dict[str, Any] = {
    "y": True,
    "N": False,
    "yes": True,
    "Off": False,
    "1e5": 100000,
    "1.5e3": 1500,
    "0x1F": 31,
    "0X1f": 31,
    "0o17": 15,
    "017": 15,
    "-017": -15,
    "0b11": 3,
    "1_000": 1000,
    "1_0.5": 10.5,
    "+5": 5,
    ".5": 0.5,
    "5.": 5,
    "089": 89,
    "0": 0,
    "00": 0,
    "~": None,
    "null": None,
}


def load(text: str) -> Any:
    (document,) = yaml_text.load_all(text)
    return document


@pytest.mark.parametrize("text", [*TEXTS, *PLAIN])
def test_a_text_is_a_text(text: str) -> None:
    assert load(f"key: {text}") == {"key": text}


@pytest.mark.parametrize(("text", "expected"), OTHERS.items())
def test_another_type_is_that_type(text: str, expected: Any) -> None:
    found = load(f"key: {text}")["key"]

    assert (found, isinstance(found, bool)) == (expected, isinstance(expected, bool))


def test_a_text_that_the_dumper_quotes_is_no_text_without_quotes() -> None:
    plain = [text for text in QUOTED if isinstance(load(text), str)]

    assert plain == ["0b-1"]


def test_anchors_merges_and_several_documents_are_read() -> None:
    stream = "a: &one {b: 1}\nc: {<<: *one, d: 2}\n---\n- 3\n"

    assert yaml_text.load_all(stream) == [{"a": {"b": 1}, "c": {"b": 1, "d": 2}}, [3]]


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "&a [1, {b: [*a]}]"])
def test_an_alias_within_its_own_anchor_is_refused(text: str) -> None:
    with pytest.raises(yaml.MarkedYAMLError):
        load(text)


def bomb(first: str, repeated: str) -> str:
    """Return a document of nine lines, each of which repeats the one before ten times."""
    lines = [f"a0: &a0 {first}"]
    for number in range(1, 9):
        again = ", ".join(
            f"k{place}: *a{number - 1}" if "{" in repeated else f"*a{number - 1}" for place in range(10)
        )
        lines.append(f"a{number}: &a{number} {repeated % again}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb("[x]", "[%s]"),
        bomb("{k: x}", "{%s}"),
        f"a: &a {'x' * 1000}\nb: [{'*a, ' * 1001}]",
        "a0: &a0 [x]\n" + "\n".join(f"a{one}: &a{one} [*a{one - 1}, *a{one - 1}]" for one in range(1, 200)),
    ],
    ids=["lists", "mappings", "texts", "a long chain"],
)
def test_aliases_that_repeat_too_much_are_refused(text: str) -> None:
    with pytest.raises(yaml_text.TooManyAliases):
        load(text)


def test_a_large_document_with_few_aliases_is_read() -> None:
    text = "x" * 2_000_000

    assert load(f"a: {text}\nb: &b [z]\nc: *b") == {"a": text, "b": ["z"], "c": ["z"]}


def test_no_object_of_python_is_made() -> None:
    with pytest.raises(yaml.YAMLError):
        load("!!python/object/apply:os.getcwd []")


def test_fields_without_a_value_are_dropped() -> None:
    given = load("a: {b: , c: [1, {d: }, ~], e: false}\nf:\n")

    assert yaml_text.without_nulls(given) == {"a": {"c": [1, {}, None], "e": False}}


def test_keys_are_texts_as_in_json() -> None:
    given = load("{1: a, 2026-11-24: b, on: c, y: d, 1.5: e, 2.0: f, plain: g}")

    assert given == {"1": "a", "2026-11-24": "b", "true": "d", "1.5": "e", "2": "f", "plain": "g"}


def test_a_key_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        load("? [1]\n: 2")


def test_tags_of_applications_are_ignored() -> None:
    assert load("{a: !x text, b: !y [1], c: !z {1: 2}}") == {"a": "text", "b": [1], "c": {"1": 2}}


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        (b'  {"a": "\\ud83d\\ude00"}', [{"a": "\U0001f600"}]),
        (b'{"a": 1}\n{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        (b"{a: 1}", [{"a": 1}]),
    ],
    ids=["an escaped pair", "several objects", "YAML with braces"],
)
def test_json_is_read_as_json(content: bytes, documents: list[Any]) -> None:
    assert yaml_text.load_all(content) == documents


@pytest.mark.parametrize("text", QUOTED)
def test_a_text_that_some_parser_reads_as_another_type_is_quoted(text: str) -> None:
    assert dump({"key": text}) == f"key: '{text}'\n"


@pytest.mark.parametrize("text", PLAIN)
def test_another_text_is_not_quoted(text: str) -> None:
    assert dump({"key": text}) == f"key: {text}\n"


def test_numbers_and_booleans_stay() -> None:
    document = {"a": 8, "b": 1e22, "c": True, "d": None, "e": [0.5, -3]}

    assert yaml.safe_load(dump(document)) == document
    assert "'" not in dump(document)
