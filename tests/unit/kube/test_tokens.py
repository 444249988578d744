"""Tokens of ServiceAccounts, as a real API server makes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from keyturn.kube.connection import ApiCredentials, Connection


def written(**claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"Bearer e30.{part}.c2ln"


@pytest.mark.parametrize(
    ("header", "audiences"),
    [
        (written(aud=["https://api.shop.test", "k3s"]), {"https://api.shop.test", "k3s"}),
        (written(aud="https://api.shop.test"), {"https://api.shop.test"}),
        (written(aud=[7, "k3s", None]), {"k3s"}),
        (written(sub="somebody"), set()),
        ("Bearer one-word", set()),
        ("Bearer a.b.c", set()),
        ("Bearer e30.W10.x", set()),
        ("Basic dXNlcjpwYXNz", set()),
        (None, set()),
    ],
)
def test_our_own_token_says_for_whom_it_is_good(header: str | None, audiences: set[str]) -> None:
    login = ApiCredentials(header)

    assert Connection("https://api.shop.test", None, login, lambda: login).audiences() == audiences
