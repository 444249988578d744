"""Hosts that an administrator allows."""

from __future__ import annotations

import pytest

from keyturn.runtime.reach import AllowedHost


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("vault.shop.svc", AllowedHost("vault.shop.svc")),
        ("Vault.shop.svc:8200", AllowedHost("vault.shop.svc", 8200)),
        ("[fd00::1]:8200", AllowedHost("fd00::1", 8200)),
        ("127.0.0.1:1", AllowedHost("127.0.0.1", 1)),
    ],
)
def test_an_allowed_host_is_read(text: str, allowed: AllowedHost) -> None:
    assert AllowedHost.parse(text) == allowed


@pytest.mark.parametrize("text", ["", "https://x", "x:", "x:0", "x:65536", "x y", "*", "x/y", "[::1", "a:b"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write HOST"):
        AllowedHost.parse(text)
