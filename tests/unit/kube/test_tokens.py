"""Tokens: the audiences of the operator's own, and for how long one of a ServiceAccount is used."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.core import texts
from keyturn.kube import errors, tokens
from keyturn.kube.config import ApiCredentials, Connection
from keyturn.kube.tokens import OWN_AUDIENCE, Tokens, is_like_a_token
from keyturn.kube.wire import Body
from tests.support.jumping_loop import JumpingLoop


def token(header: object, claims: object) -> bytes:
    parts = (texts.encode(json.dumps(part).encode()) for part in (header, claims))
    return b".".join((*parts, b"c2ln"))


CLAIMS = {"iss": "https://issuer.test", "aud": ["vault", 7], "exp": 1_800_000_000}
GOOD = token({"alg": "RS256"}, CLAIMS)


def test_the_parts_of_a_token_are_read() -> None:
    assert tokens.issuer_of(GOOD) == "https://issuer.test"
    assert tokens.audiences_of(GOOD) == {"vault"}
    assert tokens.end_of(GOOD) == datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.parametrize(
    "text",
    [b"", b"no token", b"a.b.c", b".".join([b"\xff"] * 3), token([], []), token({"typ": "JWT"}, {"iss": 7})],
    ids=range(6),
)
def test_what_is_no_token_has_no_parts(text: bytes) -> None:
    assert (tokens.issuer_of(text), tokens.audiences_of(text), tokens.end_of(text)) == (
        None,
        frozenset(),
        None,
    )


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


class TokenServer:
    """API server that issues tokens for ten minutes."""

    issuer = "https://issuer.test"

    def __init__(self) -> None:
        self.issued = 0

    async def request(self, _: str, body: Body) -> Body:
        self.issued += 1
        token = written(iss=self.issuer, jti=self.issued).removeprefix("Bearer ")
        return {"spec": body["spec"], "status": {"token": token}}


def test_a_token_is_replaced_before_it_expires() -> None:
    async def use() -> None:
        server = TokenServer()
        tokens = Tokens(server)  # type: ignore[arg-type]  # a fake
        await tokens.token("shop", "app", "vault")
        await asyncio.sleep(479)
        await tokens.token("shop", "app", "vault")
        assert server.issued == 1
        await asyncio.sleep(2)
        await tokens.token("shop", "app", "vault")
        assert server.issued == 2

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(use())


async def test_no_token_is_for_the_issuer_which_is_the_default_audience_of_the_api_server() -> None:
    server = TokenServer()
    with pytest.raises(errors.Forbidden) as refused:
        await Tokens(server).token("shop", "app", server.issuer)  # type: ignore[arg-type]  # a fake
    assert refused.value.reason == OWN_AUDIENCE


@pytest.mark.parametrize("text", ["", "short", "a b" * 20, "tab\t" * 10, "é" * 20, "a" * 9000, "a\n" * 20])
def test_what_is_like_no_token_is_not_asked_about(text: str) -> None:
    assert not is_like_a_token(text)
