"""What is spelled by a pattern is held to it by the API server and by us alike."""

from __future__ import annotations

import re

import pydantic
import pytest

from keyturn.api.source import RemoteDestination

SCHEMA = RemoteDestination.model_json_schema()["properties"]["key"]


def test_the_api_server_gets_the_pattern_with_a_sentence() -> None:
    (rule,) = SCHEMA["x-kubernetes-validations"]
    assert SCHEMA["maxLength"] == 1024
    assert rule["message"].startswith("write a key such as prod/payments")
    assert re.fullmatch(r"self[.]matches\(r'.+'\)", rule["rule"])


@pytest.mark.parametrize("key", ["a", "prod/payments", ".hidden", "..a", "a" * 1024])
def test_what_it_matches_is_taken(key: str) -> None:
    assert RemoteDestination(key=key).key == key


@pytest.mark.parametrize(
    "key", ["", "//a", "a/", "a//b", ".", "a/../b", "a\\b", "a\0", "a\n", "a" * 1025], ids=repr
)
def test_what_it_does_not_match_is_refused_with_the_sentence(key: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="write a key such as prod/payments"):
        RemoteDestination(key=key)
