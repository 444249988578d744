"""Who somebody is and what they may see, by the answers of a real API server."""

from __future__ import annotations

import pytest

from keyturn.kube.callers import Caller, is_like_a_token
from keyturn.kube.jwt import end_of


def test_an_unnamed_subject_has_no_extras() -> None:
    assert Caller("alice") == Caller("alice", "", (), {})


@pytest.mark.parametrize("text", ["", "short", "a b" * 20, "tab\t" * 10, "é" * 20, "a" * 9000, "a\n" * 20])
def test_what_is_like_no_token_is_not_asked_about(text: str) -> None:
    assert not is_like_a_token(text)


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "a.e30.c", "a.eyJleHAiOiJzb29uIn0.c", "a.eyJleHAiOjFlOTl9.c"]
)
def test_a_token_that_does_not_say_when_it_ends_has_no_end(token: str) -> None:
    assert end_of(token.encode()) is None
