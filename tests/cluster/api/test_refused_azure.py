"""What the API server answers to settings of Azure Key Vault that nobody could use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.api.objects import secret_store

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_ID = "00001111-aaaa-2222-bbbb-3333cccc4444"
_SECRET = {"clientSecret": {"clientId": _ID, "secretRef": {"name": "az", "key": "secret"}}}
_IDENTITY = {"workloadIdentity": {"clientId": _ID, "serviceAccountRef": {"name": "app"}}}
_ONE_LOGIN = "write exactly one of clientSecret and workloadIdentity"
_VAULT = "write the URL of the vault without a path, such as https://shop.vault.azure.net"
_AUTHORITY = "write an authority without a path, such as https://login.microsoftonline.com"
_TENANT = "write the ID of the tenant, such as aaaabbbb-0000-cccc-1111-dddd2222eeee"


def azure(**settings: object) -> Body:
    given = {"vaultUrl": "https://shop.vault.azure.net", "tenantId": _ID, "auth": _SECRET, **settings}
    return secret_store({"azureKeyVault": given})


def wrong(field: str, sentence: str, value: str | None = None) -> str:
    at = f"spec.provider.azureKeyVault{field}: Invalid value:"
    return f"{at} {sentence}" if value is None else f'{at} "{value}": {sentence}'


def wrong_vault(url: str) -> tuple[Body, str]:
    return azure(vaultUrl=url), wrong(".vaultUrl", _VAULT, url)


REFUSED = {
    "no login": (azure(auth={}), wrong(".auth", _ONE_LOGIN)),
    "two logins": (azure(auth={**_SECRET, **_IDENTITY}), wrong(".auth", _ONE_LOGIN)),
    "plain http": wrong_vault("http://shop.vault.azure.net"),
    "a secret's URL": wrong_vault("https://shop.vault.azure.net/secrets/db"),
    "a login in a URL": wrong_vault("https://me@shop.vault.azure.net"),
    "a name alone": wrong_vault("shop"),
    "a domain as tenant": (
        azure(tenantId="shop.onmicrosoft.com"),
        wrong(".tenantId", _TENANT, "shop.onmicrosoft.com"),
    ),
    "an authority with a tenant": (
        azure(authorityHost=f"https://login.microsoftonline.com/{_ID}"),
        wrong(".authorityHost", _AUTHORITY, f"https://login.microsoftonline.com/{_ID}"),
    ),
}

TAKEN = {
    "a client secret": azure(),
    "a workload identity": azure(auth=_IDENTITY),
    "another cloud": azure(
        vaultUrl="https://shop.vault.azure.cn/", authorityHost="https://login.chinacloudapi.cn"
    ),
    "a vault of one's own": azure(
        vaultUrl="https://shop.vault.shop.test:8443", authorityHost="https://login.shop.test"
    ),
}


@pytest.mark.parametrize(
    ("body", "sentence"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
def test_what_can_be_used_is_taken(body: Body, objects: Objects) -> None:
    assert objects.refusals(body) == []
