"""What may be written about a vault."""

import re
from pathlib import Path

import pytest

from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers import Reference, azure, discover
from keyturn.stores.providers.azure import login
from keyturn.stores.providers.azure.login import AzureKeyVaultConfig, place_of
from keyturn.stores.providers.errors import Refused
from tests.unit.stores.providers.azure.fake_azure import CLIENT
from tests.unit.stores.providers.azure.fake_entra_id import TENANT
from tests.unit.stores.providers.provider_fixtures import guarded


def settings(**other: object) -> dict[str, object]:
    secret = {"clientId": CLIENT, "secretRef": {"name": "az", "key": "secret"}}
    return {
        "vaultUrl": "https://shop.vault.azure.net",
        "tenantId": TENANT,
        "auth": {"clientSecret": secret},
        **other,
    }


def configured(**other: object) -> AzureKeyVaultConfig:
    return AzureKeyVaultConfig.model_validate(settings(**other))


def test_every_number_of_entra_id_that_we_explain_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[4] / "docs" / "stores" / "azure.md").read_text()
    assert {f"AADSTS{number}" for number in login._HINTS} == set(re.findall(r"`(AADSTS\d+)`", page))


def test_every_refusal_that_we_explain_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[4] / "docs" / "stores" / "azure.md").read_text()
    code = "".join(path.read_text() for path in Path(login.__file__).parent.glob("*.py"))
    ours = {*azure._MEANINGS, *re.findall(r'(?:Refused|UnusableError)\(\s*"(\w+)",', code)}
    assert ours - {azure.DELETED, "NoIdentity"} <= set(re.findall(r"`(\w+)`", page))


IDENTITY = {"clientId": CLIENT, "serviceAccountRef": {"name": "web"}}


def test_a_client_secret_is_asked_for_and_no_user_is_impersonated() -> None:
    provider = discover()["azureKeyVault"]
    assert provider.needs(configured()) == (Reference("Secret", "az", "secret"),)
    assert provider.logs_in_as(configured()) is None


def test_a_workload_identity_needs_no_secret_and_logs_in_as_its_service_account() -> None:
    provider = discover()["azureKeyVault"]
    config = configured(auth={"workloadIdentity": IDENTITY})
    assert (provider.needs(config), provider.logs_in_as(config)) == ((), "web")


@pytest.mark.parametrize(
    "other",
    [
        {"vaultUrl": "http://shop.vault.azure.net"},
        {"vaultUrl": "https://shop.vault.azure.net/secrets"},
        {"vaultUrl": "https://user@shop.vault.azure.net"},
        {"vaultUrl": "https://shop.vault.azure.net?x"},
        {"vaultUrl": "https://localhost"},
        {"tenantId": "contoso.onmicrosoft.com"},
        {"tenantId": f"{TENANT}/../x"},
        {"authorityHost": "https://login.microsoftonline.com/common"},
        {"auth": {}},
        {
            "auth": {
                "workloadIdentity": IDENTITY,
                "clientSecret": {"clientId": CLIENT, "secretRef": {"name": "a", "key": "b"}},
            }
        },
        {"auth": {"workloadIdentity": {**IDENTITY, "clientId": "x"}}},
    ],
    ids=range(11),
)
def test_settings_that_make_no_sense_are_refused(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="write"):
        configured(**other)


@pytest.mark.parametrize(
    ("vault", "authority", "resource"),
    [
        ("https://shop.vault.azure.net/", "https://login.microsoftonline.com", "https://vault.azure.net"),
        ("https://Shop.Vault.Azure.net", "https://login.microsoftonline.com", "https://vault.azure.net"),
        ("https://shop.vault.azure.net:443", "https://login.microsoftonline.com", "https://vault.azure.net"),
        ("https://shop.vault.azure.cn", "https://login.chinacloudapi.cn", "https://vault.azure.cn"),
        (
            "https://shop.vault.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "https://vault.usgovcloudapi.net",
        ),
    ],
)
async def test_the_cloud_of_a_vault_says_who_logs_us_in(vault: str, authority: str, resource: str) -> None:
    async with guarded() as nobody_allowed:
        place = place_of(configured(vaultUrl=vault), nobody_allowed)
    assert (str(place.authority).rstrip("/"), place.resource) == (authority, resource)


async def test_a_vault_of_no_known_cloud_needs_an_authority() -> None:
    async with guarded(AllowedHost("shop.vault.local")) as allowing:
        with pytest.raises(Refused) as refused:
            place_of(configured(vaultUrl="https://shop.vault.local"), allowing)
    assert refused.value.code == "NoAuthority"
