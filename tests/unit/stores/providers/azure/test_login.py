"""How we log in to Azure: two ways, one token at a time, and what its refusals mean."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.stores.providers import Provider
from keyturn.stores.providers.errors import Refused, StoreError, Throttled, Unauthorized, Unreachable
from keyturn.stores.providers.guard import Guard
from tests.unit.stores.providers.azure.exchanges import again, answering, failing
from tests.unit.stores.providers.azure.fake_azure import CLIENT, LOGIN, VAULT, Azure
from tests.unit.stores.providers.azure.fake_entra_id import CANARY


def of_entra(error: object, *numbers: object) -> dict[str, object]:
    return {"error": error, "error_description": CANARY, "error_codes": numbers}


async def test_a_client_secret_is_asked_with_for_the_domain_of_the_vault(
    store: Provider[Any], azure: Azure
) -> None:
    await failing(store.read("key"))
    assert azure.entra.forms == [
        {
            "grant_type": "client_credentials",
            "scope": f"{azure.resource}/.default",
            "client_id": CLIENT,
            "client_secret": azure.secret,
        }
    ]


async def test_a_service_account_of_the_consumer_logs_in(azure: Azure, guard: Guard) -> None:
    asked: list[tuple[str, str]] = []
    azure.vault.seed("key", "x")
    assert (await azure.federated(guard, asked).read("key")).content == Value(b"x")
    assert asked == [("web", "api://AzureADTokenExchange")]
    (form,) = azure.entra.forms
    assert set(form) == {"grant_type", "scope", "client_id", "client_assertion_type", "client_assertion"}


async def test_the_token_of_a_service_account_is_shown_to_the_authority_alone(
    azure: Azure, guard: Guard
) -> None:
    await failing(azure.federated(guard, []).read("key"))
    assertion = azure.entra.forms[0]["client_assertion"]
    assert not [one for one in azure.sent_to(VAULT) if assertion in str(one)]


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ({"issuer": "https://other.test"}, "AADSTS700211"),
        ({"subject": "system:serviceaccount:shop:other"}, "AADSTS700213"),
        ({"audience": "api://other"}, "AADSTS700212"),
    ],
    ids=["issuer", "subject", "audience"],
)
async def test_a_federated_credential_that_does_not_fit_is_explained(
    azure: Azure, guard: Guard, claim: dict[str, str], code: str
) -> None:
    refused = await failing(azure.federated(guard, [], **claim).read("key"))
    assert (type(refused), refused.code) == (Unauthorized, code)
    assert "system:serviceaccount:NAMESPACE:NAME" in refused.hint


async def test_many_readers_share_one_token(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x")
    await asyncio.gather(*(store.read("key") for _ in range(30)))
    await store.read("key")
    assert len(azure.entra.forms) == 1


async def test_a_token_is_generated_again_before_its_end(store: Provider[Any], azure: Azure) -> None:
    azure.vault.seed("key", "x")
    azure.entra.seconds = 0
    await store.read("key")
    await store.read("key")
    assert len(azure.entra.forms) == 2


async def test_a_token_that_the_vault_takes_no_more_is_generated_again(
    store: Provider[Any], azure: Azure
) -> None:
    azure.vault.seed("key", "x")
    await store.read("key")
    azure.entra.revoke()
    assert (await store.read("key")).content == Value(b"x")
    assert len(azure.entra.forms) == 2


async def test_a_vault_that_takes_no_token_is_asked_twice_and_no_more(
    store: Provider[Any], azure: Azure
) -> None:
    azure.instead = lambda sent: azure.unauthorized() if sent.host == VAULT else None
    refused = await failing(store.read("key"))
    assert type(refused) is Unauthorized
    assert (len(azure.sent_to(VAULT)), len(azure.sent_to(LOGIN))) == (2, 1)


@pytest.mark.parametrize("written", ["", "\n", "a\nb", "ü", "a\0"])
async def test_what_is_no_client_secret_is_not_sent(azure: Azure, guard: Guard, written: str) -> None:
    refused = await failing(azure.store(guard, written).read("key"))
    assert (type(refused), refused.code) == (Unauthorized, "NoLogin")
    assert azure.sent_to(LOGIN) == []


async def test_a_newline_at_the_end_of_a_client_secret_is_no_part_of_it(azure: Azure, guard: Guard) -> None:
    azure.vault.seed("key", "x")
    assert (await azure.store(guard, f"{azure.secret}\n").read("key")).content == Value(b"x")


async def test_the_login_of_the_operator_is_never_used(
    azure: Azure, guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.setenv(name, "operators-own")
    without = azure.opened(guard, {})
    assert (await failing(without.read("key"))).code == "NoLogin"
    await failing(azure.store(guard).read("key"))
    assert "operators-own" not in str(azure.sent)


@pytest.mark.parametrize(
    ("answer", "meaning", "code"),
    [
        (answering(401, of_entra("invalid_client", 7000215)), Unauthorized, "AADSTS7000215"),
        (answering(401, of_entra("invalid_client", 7000222)), Unauthorized, "AADSTS7000222"),
        (answering(400, of_entra("unauthorized_client", 700016)), Unauthorized, "AADSTS700016"),
        (answering(400, of_entra("invalid_request", 90002)), Unauthorized, "AADSTS90002"),
        (answering(400, of_entra("invalid_grant", 1234567)), Unauthorized, "invalid_grant"),
        (answering(400, of_entra(f"{CANARY} in words", CANARY)), Unauthorized, "Unknown"),
        (answering(400, CANARY), Unauthorized, "Status400"),
        (answering(403, [CANARY]), Unauthorized, "Status403"),
        (answering(429, of_entra("x"), Retry_After="7"), Throttled, "Status429"),
        (answering(503, CANARY), Unreachable, "Status503"),
        (answering(302, CANARY, Location=f"https://{CANARY}"), Refused, "Redirected"),
        (answering(200, CANARY), Unreachable, "MalformedAnswer"),
        (answering(200, {"access_token": CANARY}), Unreachable, "MalformedAnswer"),
        (
            answering(200, {"access_token": f"{CANARY}\r\nX: y", "expires_in": 1}),
            Unreachable,
            "MalformedAnswer",
        ),
        (answering(200, {"access_token": [CANARY], "expires_in": 1}), Unreachable, "MalformedAnswer"),
        (answering(200, {"access_token": CANARY, "expires_in": CANARY}), Unreachable, "MalformedAnswer"),
    ],
    ids=range(16),
)
async def test_an_answer_of_the_authority_means_what_its_numbers_say(
    store: Provider[Any], azure: Azure, answer: web.Response, meaning: type[StoreError], code: str
) -> None:
    azure.instead = lambda sent: again(answer) if sent.host == LOGIN else None
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (meaning, code)
    assert len(azure.sent_to(LOGIN)) == 1


async def test_a_throttling_authority_says_when_to_come_again(store: Provider[Any], azure: Azure) -> None:
    azure.instead = lambda sent: answering(429, {}, Retry_After="7") if sent.host == LOGIN else None
    assert (await failing(store.read("key"))).retry_after == 7.0
