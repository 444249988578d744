"""Tokens of Microsoft Entra ID, by a client secret or by a token of a ServiceAccount.

Both are one request of the OAuth 2.0 client credentials grant (RFC 6749 section 4.4). azure-identity would need 14
MiB more, msal and requests; it quotes responses in errors and reads settings from the environment.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from keyturn.core.value import Value
from keyturn.runtime.clock import loop_time
from keyturn.stores.providers import errors, properties
from keyturn.stores.providers._json import LARGE
from keyturn.stores.providers._refs import credential_text
from keyturn.stores.providers.errors import Refused, StoreError, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.stores.providers.base import ProviderContext
    from keyturn.stores.providers.guard import Answer, Guard

    from .settings import AzureKeyVaultConfig, Place

AUDIENCE: Final = "api://AzureADTokenExchange"
"""Audience of the ServiceAccount's token; Microsoft's default for federated credentials."""
_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_RENEWAL_MARGIN: Final = 300.0
"""Seconds before its end that a token is replaced."""
_MAX_SECONDS: Final = 86400
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")

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


class AzureLogin:
    """Caches the token of one identity for the vaults of one domain."""

    def __init__(
        self, config: AzureKeyVaultConfig, given: ProviderContext, guard: Guard, place: Place
    ) -> None:
        self._auth = config.auth
        self._given = given
        self._guard = guard
        self._place = place
        self._asking = asyncio.Lock()
        self._token: Value | None = None
        self._until = 0.0

    async def token(self) -> Value:
        """Return a token; a new one is requested 5 min before the old one ends.

        Raises:
            Unauthorized: The authority rejects the credential.
            StoreError: It is unreachable or throttling.
        """
        async with self._asking:
            now = loop_time()
            if self._token is None or now >= self._until:
                self._token, seconds = await self._request()
                self._until = now + max(seconds - _RENEWAL_MARGIN, seconds / 2)
            return self._token

    def forget(self, token: Value) -> None:
        """Drop a token that the vault has rejected."""
        if self._token == token:
            self._token = None

    async def _request(self) -> tuple[Value, int]:
        form = {
            "grant_type": "client_credentials",
            "scope": f"{self._place.resource}/.default",
            **await self._proof(),
        }
        answer = await self._guard.ask(
            "POST",
            self._place.authority / self._place.tenant / "oauth2/v2.0/token",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=urlencode(form).encode(),
        )
        if answer.status != HTTPStatus.OK:
            raise _refusal(answer)
        return _granted(await properties.object_apart(answer.body, self._given.owner))

    async def _proof(self) -> dict[str, str]:
        if self._auth.client_secret is not None:
            secret = self._auth.client_secret
            text = credential_text(self._given.value_of(secret.secret_ref.in_secret()))
            if not text:
                raise Unauthorized("NoLogin", "the Secret holds no client secret under this key")
            return {"client_id": secret.client_id, "client_secret": text}
        if self._auth.workload_identity is None:
            raise Refused("NoIdentity", "write one way to log in under auth")
        account = self._auth.workload_identity.service_account_ref.name
        assertion = await self._given.token(account, AUDIENCE)
        return {
            "client_id": self._auth.workload_identity.client_id,
            "client_assertion_type": _JWT_BEARER,
            "client_assertion": assertion.reveal().decode("ascii"),
        }


def _granted(answer: Mapping[str, Any]) -> tuple[Value, int]:
    token, seconds = answer.get("access_token"), str(answer.get("expires_in"))
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise Unreachable("MalformedAnswer")
    if not (seconds.isascii() and seconds.isdecimal()):
        raise Unreachable("MalformedAnswer")
    return Value.of_text(token), min(int(seconds), _MAX_SECONDS)


def _refusal(answer: Answer) -> StoreError:
    """Map an error of Entra ID by numbers and status; its texts quote the credential."""
    meaning = errors.of_status(answer.status, answer.headers.get("Retry-After"))
    if isinstance(meaning, Throttled | Unreachable):
        return meaning
    try:
        # On the event loop: an error of Entra ID is never larger.
        said = properties.object_of(answer.body[:LARGE])
    except Unreachable:
        return Unauthorized(meaning.code)
    numbers = said.get("error_codes")
    known = [str(one) for one in numbers if str(one) in _HINTS] if isinstance(numbers, list) else []
    if known:
        return Unauthorized(f"AADSTS{known[0]}", _HINTS[known[0]])
    return Unauthorized(errors.word(said.get("error")))
