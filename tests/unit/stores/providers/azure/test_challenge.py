"""A hostile vault: whom a login and a token are shown to, and what is sent at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.stores.providers.azure import client
from keyturn.stores.providers.errors import Refused
from tests.leaks.scan import leaks
from tests.unit.stores.providers.azure.exchanges import failing
from tests.unit.stores.providers.azure.fake_azure import LOGIN, VAULT
from tests.unit.stores.providers.azure.fake_entra_id import CANARY, TENANT

if TYPE_CHECKING:
    from keyturn.stores.providers import Provider
    from keyturn.stores.providers.guard import Guard
    from tests.unit.stores.providers.azure.fake_azure import Azure, Sent


OTHER_TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"


HOSTILE = [
    ({"authorization": f"https://evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"https://login.test.evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"http://login.microsoftonline.com/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"//evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": "https://[evil/x"}, "ForeignAuthority"),
    ({"authorization_uri": f"https://evil.test/{TENANT}"}, "ForeignAuthority"),
    ({"authorization": f"https://login.microsoftonline.com/{OTHER_TENANT}"}, "ForeignTenant"),
    ({"authorization": "https://login.microsoftonline.com/common"}, "ForeignTenant"),
    ({"authorization": "https://login.microsoftonline.com"}, "ForeignTenant"),
    ({"resource": "https://management.azure.com"}, "ForeignResource"),
    ({"resource": "https://vault.azure.net"}, "ForeignResource"),
    ({"resource": "https://test"}, "ForeignResource"),
    ({"resource": ""}, "ForeignResource"),
    ({"resource": "", "scope": "https://graph.microsoft.com/.default"}, "ForeignResource"),
]
hostile = pytest.mark.parametrize(("named", "code"), HOSTILE, ids=range(len(HOSTILE)))


@hostile
async def test_a_vault_that_sends_us_elsewhere_gets_no_login_and_no_token(
    store: Provider[Any], azure: Azure, named: dict[str, str], code: str
) -> None:
    azure.instead = lambda sent: azure.unauthorized(**named) if sent.host == VAULT else None
    refused = await failing(store.write("key", Value(b"x")))
    assert (type(refused), refused.code) == (Refused, code)
    (asked,) = azure.sent
    assert (asked.host, asked.headers.get("Authorization"), asked.body) == (VAULT, None, "")


@hostile
async def test_a_vault_that_turns_hostile_gets_no_more_tokens(
    store: Provider[Any], azure: Azure, named: dict[str, str], code: str
) -> None:
    azure.vault.seed("key", "x")
    await store.read("key")
    azure.entra.revoke()
    azure.instead = lambda sent: azure.unauthorized(**named) if sent.host == VAULT else None
    assert (await failing(store.read("key"))).code == code
    assert len(azure.entra.forms) == 1


async def test_a_challenge_of_another_name_of_the_authority_is_taken(
    store: Provider[Any], azure: Azure
) -> None:
    azure.vault.seed("key", "x")
    known = f"https://login.windows.net/{TENANT.upper()}"

    def challenging(sent: Sent) -> web.Response | None:
        is_first = sent.host == VAULT and "Authorization" not in sent.headers
        return azure.unauthorized(authorization=known) if is_first else None

    azure.instead = challenging
    assert (await store.read("key")).content == Value(b"x")
    assert [one.host for one in azure.sent] == [VAULT, LOGIN, VAULT]


async def test_a_vault_sees_no_value_before_it_has_shown_who_it_is(
    store: Provider[Any], azure: Azure
) -> None:
    azure.instead = lambda sent: azure.unauthorized() if sent.host == VAULT and sent.method == "PUT" else None
    await failing(store.write("key", Value(b"the-value-of-a-secret")))
    assert [one.headers["Authorization"] for one in azure.sent_to(VAULT) if "the-value" in one.body]


async def test_a_vault_is_sent_what_it_needs_and_nothing_of_this_machine(
    store: Provider[Any], azure: Azure, guard: Guard
) -> None:
    await failing(store.read("key"))
    names = {name for one in azure.sent_to(VAULT) for name in one.headers}
    assert names == {
        *("Host", "Accept", "Accept-Encoding", "User-Agent", "Authorization", "x-ms-client-request-id")
    }
    assert {one.headers["User-Agent"] for one in azure.sent} == {guard._session.headers["User-Agent"]}
    assert leaks([azure.secret.encode()], {"the vault": str(azure.sent_to(VAULT)).encode()}) == set()


@pytest.mark.parametrize("link", [f"https://evil.test/secrets?{CANARY}", "https://{}:1/secrets"])
async def test_what_the_client_follows_stays_at_the_vault(
    store: Provider[Any], azure: Azure, link: str
) -> None:
    azure.vault.seed("key", "x")
    await store.read("key")
    page = {"value": [], "nextLink": link}
    azure.instead = lambda sent: web.json_response(page) if sent.path == "/secrets" else None
    vault: Any = await store._open()  # type: ignore[attr-defined]  # Keyturn itself lists nothing
    listing = vault._client.list_properties_of_secrets()
    refused = await failing(client._without_client_errors(lambda: anext(listing))())
    assert refused.code in {"ForeignPage", "MalformedAnswer"}
    assert {one.host for one in azure.sent} == {VAULT, LOGIN}


@pytest.mark.parametrize(
    ("vault", "code"),
    [
        ("https://shop.vault.azure.net.evil.test", "ForeignVault"),
        ("https://vault.azure.net", "ForeignVault"),
        ("https://a.b.vault.azure.net", "ForeignVault"),
        ("https://other.test", "ForeignVault"),
        ("https://10.0.0.1", "ForeignVault"),
    ],
)
async def test_a_vault_that_is_none_of_azures_is_asked_only_if_an_administrator_allows_it(
    azure: Azure, guard: Guard, vault: str, code: str
) -> None:
    assert (await failing(azure.store(guard, vaultUrl=vault).read("key"))).code == code
    assert azure.sent == []


async def test_an_authority_that_is_none_of_azures_is_asked_only_if_an_administrator_allows_it(
    azure: Azure, guard: Guard
) -> None:
    refused = await failing(azure.store(guard, authorityHost="https://evil.test").read("key"))
    assert (refused.code, azure.sent) == ("ForeignAuthority", [])
