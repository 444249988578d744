from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from keyturn.core import texts
from keyturn.kube import jwt


def token(header: object, claims: object) -> bytes:
    parts = (texts.encode(json.dumps(part).encode()) for part in (header, claims))
    return b".".join((*parts, b"c2ln"))


CLAIMS = {"iss": "https://issuer.test", "aud": ["vault", 7], "exp": 1_800_000_000}
GOOD = token({"alg": "RS256"}, CLAIMS)


def test_the_parts_of_a_token_are_read() -> None:
    assert jwt.has_header(GOOD)
    assert jwt.issuer_of(GOOD) == "https://issuer.test"
    assert jwt.audiences_of(GOOD) == {"vault"}
    assert jwt.end_of(GOOD) == datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.parametrize(
    "text",
    [b"", b"no token", b"a.b.c", b".".join([b"\xff"] * 3), token([], []), token({"typ": "JWT"}, {"iss": 7})],
    ids=range(6),
)
def test_what_is_no_token_has_no_parts(text: bytes) -> None:
    assert not jwt.has_header(text)
    assert (jwt.issuer_of(text), jwt.audiences_of(text), jwt.end_of(text)) == (None, frozenset(), None)
