"""What the settings of a vault say, to which of Azure's clouds it belongs, and who may log us in there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import pydantic
from yarl import URL

from keyturn.api.base import Schema, Spelled, rules
from keyturn.stores.providers._refs import KeyRef, ServiceAccountRef
from keyturn.stores.providers.errors import Refused

if TYPE_CHECKING:
    from keyturn.stores.providers.guard import Guard

DELETED: Final = "ObjectIsDeletedButRecoverable"
"""Error code of a write to a deleted name that is not purged yet."""

_ID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_HOST: Final = r"^https://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+(:[0-9]{1,5})?/?$"
_ONE_LOGIN: Final = "write exactly one of clientSecret and workloadIdentity"

VaultUrl = Annotated[
    str,
    Spelled(_HOST, "write the URL of the vault without a path, such as https://shop.vault.azure.net", 256),
]
AuthorityHost = Annotated[
    str,
    Spelled(_HOST, "write an authority without a path, such as https://login.microsoftonline.com", 256),
]
TenantId = Annotated[
    str,
    Spelled(_ID, "write the ID of the tenant, such as aaaabbbb-0000-cccc-1111-dddd2222eeee", 36),
]
ClientId = Annotated[
    str,
    Spelled(_ID, "write the client ID of the identity, such as 00001111-aaaa-2222-bbbb-3333cccc4444", 36),
]


class ClientSecret(Schema):
    """A client secret of an application."""

    client_id: ClientId
    """The application's client ID."""
    secret_ref: KeyRef
    """The key of a Secret that holds the client secret."""


class WorkloadIdentity(Schema):
    """A federated credential of an application or a managed identity, for one ServiceAccount."""

    client_id: ClientId
    """The identity's client ID."""
    service_account_ref: ServiceAccountRef
    """The ServiceAccount whose tokens the federated credential takes."""


class AzureAuth(Schema):
    """A login of Microsoft Entra ID: exactly one."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(("has(self.clientSecret) != has(self.workloadIdentity)", _ONE_LOGIN))
    )

    client_secret: ClientSecret | None = None
    """The client secret of an application."""
    workload_identity: WorkloadIdentity | None = None
    """A ServiceAccount that Azure trusts; nothing is kept that could be stolen."""

    @pydantic.model_validator(mode="after")
    def _is_one_login(self) -> AzureAuth:
        if (self.client_secret is None) == (self.workload_identity is None):
            raise ValueError(_ONE_LOGIN)
        return self


class AzureKeyVaultConfig(Schema):
    """One vault of Azure Key Vault."""

    vault_url: VaultUrl
    """The URL of the vault, such as https://shop.vault.azure.net."""
    tenant_id: TenantId
    """The ID of the tenant that the vault belongs to."""
    authority_host: AuthorityHost | None = None
    """Who logs us in, such as https://login.microsoftonline.us; the authority of the vault's cloud where absent."""
    auth: AzureAuth
    """How we log in."""


@dataclass(frozen=True, slots=True)
class _Cloud:
    vaults: str
    """DNS domain of all its vaults."""
    logins: tuple[str, ...]
    """Host names of its authority; the first one is used."""


_CLOUDS: Final = (
    _Cloud(
        "vault.azure.net",
        ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"),
    ),
    _Cloud("vault.azure.cn", ("login.chinacloudapi.cn", "login.partner.microsoftonline.cn")),
    _Cloud("vault.usgovcloudapi.net", ("login.microsoftonline.us", "login-us.microsoftonline.com")),
)
_LOGINS: Final = frozenset(login for cloud in _CLOUDS for login in cloud.logins)


class Place(NamedTuple):
    """Address of a vault and of its authority."""

    vault: URL
    resource: str
    """Audience of a token: the domain of the vault, such as https://vault.azure.net."""
    authority: URL
    tenant: str


def place_of(config: AzureKeyVaultConfig, guard: Guard) -> Place:
    """Return the addresses of a vault and its authority.

    Raises:
        Refused: An address is neither Azure's nor allowed by the administrator: it would receive a credential.
    """
    vault = URL(config.vault_url).origin()
    domain = netloc(vault).partition(".")[2]
    cloud = next((one for one in _CLOUDS if one.vaults == domain), None)
    if cloud is None and not _is_allowed(vault, guard):
        raise Refused(
            "ForeignVault",
            "write https://NAME.vault.azure.net; another host needs --allow-host of an administrator",
        )
    if config.authority_host is None and cloud is None:
        raise Refused("NoAuthority", "write authorityHost, because the vault is in no known cloud")
    authority = URL(config.authority_host or f"https://{cloud.logins[0] if cloud else ''}").origin()
    if netloc(authority) not in _LOGINS and not _is_allowed(authority, guard):
        raise Refused(
            "ForeignAuthority",
            "write https://login.microsoftonline.com; another host needs --allow-host of an administrator",
        )
    return Place(vault, f"https://{domain}", authority, config.tenant_id.lower())


def admit_challenge(header: str, place: Place) -> None:
    """Reject a challenge that asks for a token of another authority, tenant or resource.

    Source: Microsoft, "Authentication, requests and responses" of Azure Key Vault.

    Raises:
        Refused: It differs from the settings.
    """
    said = {
        name.strip(' "'): text.strip(' "')
        for name, _, text in (one.partition("=") for one in header.partition(" ")[2].split(","))
    }
    named = said.get("authorization_uri") or said.get("authorization")
    if not named:  # no challenge
        return
    try:
        authority = URL(named)
    except ValueError:
        authority = URL()
    if authority.scheme != "https" or netloc(authority) not in _LOGINS | {netloc(place.authority)}:
        raise Refused("ForeignAuthority", "the vault names a login authority that is not its cloud's")
    if authority.path.strip("/").partition("/")[0].lower() != place.tenant:
        raise Refused("ForeignTenant", "the vault belongs to another tenant; write its ID as tenantId")
    resource = said.get("resource") or said.get("scope", "").removesuffix("/.default")
    if resource.rstrip("/").lower() != place.resource:
        raise Refused("ForeignResource", "the vault asks for a token that is not for vaults of its domain")


def _is_allowed(url: URL, guard: Guard) -> bool:
    return guard.allows(url.host or "", url.port or 0)


def netloc(url: URL) -> str:
    """Return host and port normalised: Azure's links include port 443, users' URLs do not."""
    host = (url.host or "").lower()
    return host if url.is_default_port() else f"{host}:{url.port}"
