"""A text stays a text for any parser of YAML."""

from __future__ import annotations

import pytest
import yaml

from keyturn.runtime.yaml_dumper import dump

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
