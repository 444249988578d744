"""Settings of an Azure vault, to which cloud it belongs, and tokens of Microsoft Entra ID for it.

A client secret and a token of a ServiceAccount are one request of the OAuth 2.0 client credentials grant (RFC 6749
section 4.4). azure-identity would need 14 MiB more, msal and requests; it quotes responses in errors and reads
settings from the environment.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlencode

from yarl import URL

from keyturn.api.base import Schema, Spelled
from keyturn.core.value import Value
from keyturn.stores.providers import errors, properties
from keyturn.stores.providers._refs import (
    KeyRef,
    OneOf,
    ServiceAccountRef,
    TokenLogin,
    credential_text,
    token_in,
)
from keyturn.stores.providers.base import ProviderContext
from keyturn.stores.providers.errors import Refused, StoreError, Throttled, Unauthorized, Unreachable
from keyturn.stores.providers.guard import Answer, Guard
from keyturn.stores.providers.properties import LARGE

_ID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_HOST: Final = r"^https://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+(:[0-9]{1,5})?/?$"

VaultUrl = Annotated[
    str,
    Spelled(_HOST, "write the URL of the vault without a path, such as https://shop.vault.azure.net", 256),
]
AuthorityHost = Annotated[
    str, Spelled(_HOST, "write an authority without a path, such as https://login.microsoftonline.com", 256)
]
TenantId = Annotated[
    str, Spelled(_ID, "write the ID of the tenant, such as aaaabbbb-0000-cccc-1111-dddd2222eeee", 36)
]
ClientId = Annotated[
    str, Spelled(_ID, "write the client ID of the identity, such as 00001111-aaaa-2222-bbbb-3333cccc4444", 36)
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


class AzureAuth(OneOf):
    """A login of Microsoft Entra ID: exactly one."""

    client_secret: ClientSecret | None = None
    """The client secret of an application."""
    workload_identity: WorkloadIdentity | None = None
    """A ServiceAccount that Azure trusts; nothing is kept that could be stolen."""


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


def admit_challenge(header: str, place: Place) -> bool:
    """Return whether a vault asks for a token; reject one of another authority, tenant or resource.

    Source: Microsoft, "Authentication, requests and responses" of Azure Key Vault.

    Raises:
        Refused: It differs from the settings.
    """
    said = {
        name.strip(' "'): text.strip(' "')
        for name, _, text in (one.partition("=") for one in header.partition(" ")[2].split(","))
    }
    named = said.get("authorization_uri") or said.get("authorization")
    if not named:
        return False
    authority = URL()
    with suppress(ValueError):
        authority = URL(named)
    if authority.scheme != "https" or netloc(authority) not in _LOGINS | {netloc(place.authority)}:
        raise Refused("ForeignAuthority", "the vault names a login authority that is not its cloud's")
    if authority.path.strip("/").partition("/")[0].lower() != place.tenant:
        raise Refused("ForeignTenant", "the vault belongs to another tenant; write its ID as tenantId")
    resource = said.get("resource") or said.get("scope", "").removesuffix("/.default")
    if resource.rstrip("/").lower() != place.resource:
        raise Refused("ForeignResource", "the vault asks for a token that is not for vaults of its domain")
    return True


def _is_allowed(url: URL, guard: Guard) -> bool:
    return guard.allows(url.host or "", url.port or 0)


def netloc(url: URL) -> str:
    """Return host and port normalised: Azure's links include port 443, users' URLs do not."""
    host = (url.host or "").lower()
    return host if url.is_default_port() else f"{host}:{url.port}"


AUDIENCE: Final = "api://AzureADTokenExchange"
"""Audience of the ServiceAccount's token; Microsoft's default for federated credentials."""
_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

_FOREIGN_SUBJECT: Final = (
    "the identity has no matching federated credential; it needs the cluster's issuer,"
    f" the subject system:serviceaccount:NAMESPACE:NAME and the audience {AUDIENCE}"
)
_HINTS: Final[Mapping[str, str]] = {
    "7000215": "the client secret is wrong; store its value, not its ID",
    "7000222": "the client secret has expired; make a new one",
    "7000112": "the application is disabled",
    "700016": "the tenant has no application with this clientId",
    "700024": "the ServiceAccount's token is not valid at this time; compare the clocks",
    "70021": _FOREIGN_SUBJECT,
    "700211": _FOREIGN_SUBJECT,
    "700212": _FOREIGN_SUBJECT,
    "700213": _FOREIGN_SUBJECT,
    "90002": "there is no tenant with this tenantId",
    "500011": "the tenant knows no vaults of this cloud; compare vaultUrl and tenantId",
    "53003": "a Conditional Access policy of the tenant refuses the login",
}
"""Hints by the numbers of Entra ID's error_codes (AADSTS…)."""


class AzureLogin(TokenLogin):
    """One identity, for the vaults of one domain."""

    def __init__(self, config: AzureKeyVaultConfig, given: ProviderContext) -> None:
        super().__init__()
        self._config = config
        self._given = given

    async def _make(self) -> tuple[Value, float]:
        place = place_of(self._config, self._given.network)
        form = {
            "grant_type": "client_credentials",
            "scope": f"{place.resource}/.default",
            **await self._proof(),
        }
        answer = await self._given.network.ask(
            "POST",
            place.authority / place.tenant / "oauth2/v2.0/token",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=urlencode(form).encode(),
        )
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer)
        granted = await properties.object_apart(answer.body, self._given.owner)
        seconds = errors.seconds(str(granted.get("expires_in")))
        if seconds is None:
            raise Unreachable("MalformedAnswer")
        return token_in(granted, "access_token"), seconds

    async def _proof(self) -> dict[str, str]:
        if self._config.auth.client_secret is not None:
            secret = self._config.auth.client_secret
            text = credential_text(self._given.value_of(secret.secret_ref.in_secret()))
            if not text:
                raise Unauthorized("NoLogin", "the Secret holds no client secret under this key")
            return {"client_id": secret.client_id, "client_secret": text}
        if self._config.auth.workload_identity is None:
            raise Refused("NoIdentity", "write one way to log in under auth")
        account = self._config.auth.workload_identity.service_account_ref.name
        assertion = await self._given.token(account, AUDIENCE)
        return {
            "client_id": self._config.auth.workload_identity.client_id,
            "client_assertion_type": _JWT_BEARER,
            "client_assertion": assertion.reveal().decode("ascii"),
        }


def _refusal(answer: Answer) -> StoreError:
    """Map an error of Entra ID by numbers and status; its texts quote the credential."""
    meaning = errors.of_status(answer.status, answer.headers.get("Retry-After"))
    if isinstance(meaning, Throttled | Unreachable):
        return meaning
    try:
        # On the event loop: an error of Entra ID is never large.
        said = properties.object_of(answer.body[:LARGE])
    except Unreachable:
        return Unauthorized(meaning.code)
    numbers = said.get("error_codes")
    known = [str(one) for one in numbers if str(one) in _HINTS] if isinstance(numbers, list) else []
    if known:
        return Unauthorized(f"AADSTS{known[0]}", _HINTS[known[0]])
    return Unauthorized(errors.word(said.get("error")))
