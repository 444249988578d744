"""Tokens of ServiceAccounts, as a real API server makes them."""

import asyncio
import base64
import json
from typing import Any

import pytest

from keyturn.core.value import Value
from keyturn.kube import errors
from keyturn.kube.client import Api
from keyturn.kube.tokens import OWN_AUDIENCE, Tokens
from sandbox.harness import Kubectl
from tests.conftest import Cluster

AUDIENCE = "https://vault.shop.test"


def claims(token: Value) -> dict[str, Any]:
    part = token.reveal().split(b".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    return found


@pytest.fixture
def account(cluster: Cluster, namespace: str) -> str:
    Kubectl(cluster.kubeconfig)("create", "serviceaccount", "app", "-n", namespace)
    return "app"


async def test_a_token_is_of_that_account_for_that_audience_and_ten_minutes(
    api: Api, namespace: str, account: str
) -> None:
    found = claims(await Tokens(api).token(namespace, account, AUDIENCE))

    assert found["sub"] == f"system:serviceaccount:{namespace}:app"
    assert found["aud"] == [AUDIENCE]
    assert found["exp"] - found["iat"] == 600


async def test_a_token_is_made_once_and_used_for_most_of_its_life(
    api: Api, namespace: str, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(api)
    first = await tokens.token(namespace, account, AUDIENCE)
    began, passed = asyncio.get_running_loop().time(), 0.0
    monkeypatch.setattr("keyturn.kube.tokens.loop_time", lambda: began + passed)

    passed = 470.0
    assert await tokens.token(namespace, account, AUDIENCE) is first
    passed = 481.0
    assert await tokens.token(namespace, account, AUDIENCE) is not first


async def test_another_audience_gets_another_token(api: Api, namespace: str, account: str) -> None:
    tokens = Tokens(api)
    first = await tokens.token(namespace, account, AUDIENCE)
    second = await tokens.token(namespace, account, "sts.amazonaws.com")
    assert (claims(first)["aud"], claims(second)["aud"]) == ([AUDIENCE], ["sts.amazonaws.com"])


async def test_tokens_that_were_forgotten_are_generated_again(api: Api, namespace: str, account: str) -> None:
    tokens = Tokens(api)
    first = await tokens.token(namespace, account, AUDIENCE)
    tokens.forget(namespace)
    assert await tokens.token(namespace, account, AUDIENCE) is not first


async def test_an_account_that_is_not_there_has_no_token(api: Api, namespace: str) -> None:
    with pytest.raises(errors.NotFound):
        await Tokens(api).token(namespace, "nobody", AUDIENCE)


@pytest.mark.parametrize(
    "audience",
    [
        "",
        "kubernetes",
        "kubernetes.default.svc",
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc:443/",
        "k3s",
        "rke2",
    ],
)
async def test_no_token_is_made_for_the_api_server(
    audience: str, api: Api, namespace: str, account: str
) -> None:
    with pytest.raises(errors.Forbidden) as caught:
        await Tokens(api).token(namespace, account, audience)
    assert caught.value.reason == OWN_AUDIENCE


async def test_no_token_is_given_for_who_issued_it(api: Api, namespace: str, account: str) -> None:
    # Where nobody sets the API server's audiences, it takes tokens for its own issuer, whatever that is called.
    tokens = Tokens(api)
    issuer = claims(await tokens.token(namespace, account, AUDIENCE))["iss"]

    with pytest.raises(errors.Forbidden):
        await tokens.token(namespace, account, issuer)


async def test_no_token_is_made_for_whom_our_own_is_good(api: Api, namespace: str, account: str) -> None:
    asked: list[str] = []
    api.on_response = lambda verb, resource, *_: asked.append(f"{verb} {resource}")
    tokens = Tokens(api, lambda: ["https://api.shop.test", "other"])

    with pytest.raises(errors.Forbidden) as caught:
        await tokens.token(namespace, account, "https://api.shop.test")

    assert (caught.value.reason, asked) == (OWN_AUDIENCE, [])


async def test_a_token_needs_no_leadership(api: Api, namespace: str, account: str) -> None:
    api.fence = lambda: 0.0
    try:
        assert await Tokens(api).token(namespace, account, AUDIENCE)
    finally:
        api.fence = None
