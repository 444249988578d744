"""Which texts are worth a TokenReview."""

from __future__ import annotations

import pytest

from keyturn.kube.callers import is_like_a_token


@pytest.mark.parametrize("text", ["", "short", "a b" * 20, "tab\t" * 10, "é" * 20, "a" * 9000, "a\n" * 20])
def test_what_is_like_no_token_is_not_asked_about(text: str) -> None:
    assert not is_like_a_token(text)
