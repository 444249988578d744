"""Tokens: the audiences of the operator's own, and for how long one of a ServiceAccount is used."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.kube import errors
from keyturn.kube.connection import ApiCredentials, Connection
from keyturn.kube.tokens import OWN_AUDIENCE, Tokens
from tests.support.jumping_loop import JumpingLoop

if TYPE_CHECKING:
    from keyturn.kube.wire import Body


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
