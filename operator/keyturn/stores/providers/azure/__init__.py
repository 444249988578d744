"""Azure Key Vault: secrets by name, with Azure's versions and soft deletion.

Its REST API by the guard. Source: Microsoft, "Azure Key Vault REST API reference", Secrets.
"""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from keyturn.core.value import Value
from keyturn.stores.providers import errors, properties
from keyturn.stores.providers.base import (
    Capability,
    Content,
    Provider,
    ProviderContext,
    Reference,
    RemoteValue,
)
from keyturn.stores.providers.errors import (
    Conflict,
    Denied,
    NotFound,
    Refused,
    StoreError,
    Unauthorized,
    Unreachable,
    UnusableError,
)
from keyturn.stores.providers.guard import Answer

from .login import AzureKeyVaultConfig, AzureLogin, admit_challenge, place_of

_API_VERSION: Final = "7.5"
_POLL_SECONDS: Final = 2.0
"""Seconds between questions whether a deletion or recovery is done."""
DELETED: Final = "ObjectIsDeletedButRecoverable"
"""Error code of a write to a deleted name that is not purged yet."""
_NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")
_PATH: Final = re.compile(r"[0-9A-Za-z]+(-[0-9A-Za-z]+)*(/[0-9A-Za-z]+(-[0-9A-Za-z]+)*)+")
_SLASH: Final = "--"
"""Replaces a slash, which Azure's names do not have, so that {namespace}/ can separate namespaces."""
_VERSION: Final = re.compile(r"[0-9A-Fa-f]{32}")
_MAX_BYTES: Final = 25 * 1024
_TAGS: Final = {"managed-by": "keyturn"}

_ROLE: Final = "give the identity the role Key Vault Secrets User, or Key Vault Secrets Officer to write"
_NETWORK: Final = (
    "the vault's network rules deny the operator; allow the cluster's addresses or a private endpoint"
)
_MEANINGS: Final[Mapping[str, tuple[type[StoreError], str]]] = {
    "SecretDisabled": (Refused, "the secret is disabled; enable it or set a new version"),
    "ForbiddenByFirewall": (Refused, _NETWORK),
    "ForbiddenByConnection": (Refused, _NETWORK),
    "ForbiddenByRbac": (Denied, _ROLE),
    "ForbiddenByPolicy": (
        Denied,
        "the vault's access policies do not allow this; add the permission or use roles",
    ),
    DELETED: (Conflict, "the secret is deleted and recoverable; recover it, or write another name"),
}
_HINTS: Final[Mapping[type[StoreError], str]] = {
    Denied: _ROLE,
    Unauthorized: "the vault rejects the token of this tenant and identity; check tenantId and clientId",
}


class _Kept(NamedTuple):
    """A secret of a vault with its attributes; dates are seconds since 1970."""

    value: Value
    version: str
    tags: dict[str, str]
    begins: float
    ends: float


class AzureKeyVault(Provider[AzureKeyVaultConfig]):
    """Reads and writes secrets; several parts are one JSON document.

    A key is the name of a secret, with -- for each slash. No part of it has -- itself or - at an end, so that two
    keys never have the same name.

    A deleted name is recovered before a write, with its older versions; nothing is purged.

    Azure has no conditional writes: the value is read right before the write, and a concurrent write remains as an
    older version.
    """

    kind = "azureKeyVault"
    Config = AzureKeyVaultConfig
    capabilities = frozenset(Capability)
    rate = 200.0  # half of Azure's limit per vault

    def __init__(self, config: AzureKeyVaultConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._login = AzureLogin(config, given)
        self._is_admitted = False
        """Whether the vault has named the authority, tenant and resource of the settings."""

    @classmethod
    def needs(cls, config: AzureKeyVaultConfig) -> tuple[Reference, ...]:
        secret = config.auth.client_secret
        return (secret.secret_ref.in_secret(),) if secret else ()

    @classmethod
    def logs_in_as(cls, config: AzureKeyVaultConfig) -> str | None:
        identity = config.auth.workload_identity
        return identity.service_account_ref.name if identity else None

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        if version is not None and not _VERSION.fullmatch(version):
            raise Refused("InvalidVersion", "a version has 32 hexadecimal digits, as Azure shows them")
        kept = await self._get(key, version)
        if _has_expired(kept):
            raise UnusableError("Expired", "the secret has expired; set a new version or a later date")
        if kept.begins > time.time():
            raise Refused("NotYetValid", "the secret is not valid yet; wait, or set an earlier date")
        return RemoteValue(kept.value, kept.version)

    async def _inspect(self, key: str) -> RemoteValue:
        kept = await self._get(key, None)
        return RemoteValue(kept.value, kept.version)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        text, content_type = _written(content)
        kept: _Kept | None = None
        with suppress(NotFound):
            kept = await self._get(key, None)
        used = None if kept is None or _has_expired(kept) else kept  # an expired one was read as absent
        if (used and used.version) != (before and before.version):
            raise Conflict("Overtaken")
        secret = {"value": text, "contentType": content_type, "tags": kept.tags if kept else _TAGS}
        try:
            return _version(await self._ask("PUT", f"secrets/{_name(key)}", secret))
        except Conflict as error:
            if error.code != DELETED:
                raise
        recovered = await self._ask("POST", f"deletedsecrets/{_name(key)}/recover")
        await self._wait_for(f"secrets/{_name(key)}")
        return _version(await self._ask("PUT", f"secrets/{_name(key)}", {**secret, "tags": _tags(recovered)}))

    async def _delete(self, key: str) -> None:
        deleted = await self._ask("DELETE", f"secrets/{_name(key)}")
        if deleted.get("recoveryId"):
            await self._wait_for(f"deletedsecrets/{_name(key)}")

    async def _get(self, key: str, version: str | None) -> _Kept:
        """Read a secret that is enabled; Azure leaves the check of its dates to the reader."""
        return _kept(await self._ask("GET", f"secrets/{_name(key)}{f'/{version}' if version else ''}"))

    async def _wait_for(self, path: str) -> None:
        """Wait until a deletion or recovery has moved a secret; the vault answers not found until then."""
        while True:
            try:
                await self._ask("GET", path)
            except NotFound:
                await asyncio.sleep(_POLL_SECONDS)
            except (Denied, Refused):  # it is there, and may not be read
                return
            else:
                return

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send a request; a vault gets no token and no value before it has shown whose it is."""
        guard = self.given.network
        place = place_of(self.config, guard)
        url = (place.vault / path).with_query({"api-version": _API_VERSION})
        for _ in range(2):
            token = await self._login.token() if self._is_admitted else None
            headers, content = {"Accept": "application/json"}, None
            if token is not None:
                headers["Authorization"] = f"Bearer {token.reveal().decode('ascii')}"
                if body is not None:
                    headers["Content-Type"] = "application/json"
                    content = json.dumps(body).encode()
            answer = await guard.ask(method, url, headers=headers, body=content)
            if answer.status != HTTPStatus.UNAUTHORIZED:
                break
            if token is not None:
                self._login.forget(token)
            if not admit_challenge(answer.headers.get("WWW-Authenticate", ""), place):
                break
            self._is_admitted = True
        if token is None or answer.status != HTTPStatus.OK:
            raise _meaning(answer)
        return await properties.object_apart(answer.body, self.given.owner)

    def _check(self, key: str) -> None:
        super()._check(key)
        if not _NAME.fullmatch(_name(key)) or ("/" in key and not _PATH.fullmatch(key)):
            raise Refused(
                "InvalidKey",
                "a name has up to 127 letters, digits and '-', such as shop-auth; between slashes, which stand for"
                " '--', it has none itself",
            )


def _name(key: str) -> str:
    return key.replace("/", _SLASH)


def _has_expired(kept: _Kept) -> bool:
    return kept.ends <= time.time()


def _written(content: Content) -> tuple[str, str]:
    """Return the text and the content type for Azure."""
    content_type = "text/plain" if isinstance(content, Value) else "application/json"
    document = properties.document(content)
    if len(document.reveal()) > _MAX_BYTES:
        raise Refused("TooLarge", f"Key Vault keeps {_MAX_BYTES} bytes under a name; push fewer keys to one")
    hint = "Key Vault keeps text only; push a value in base64 or hex"
    return properties.readable(document, hint), content_type


def _kept(secret: dict[str, Any]) -> _Kept:
    attributes = secret.get("attributes", {})
    try:
        value = Value.of_text(secret["value"])
        begins, ends = float(attributes.get("nbf", "-inf")), float(attributes.get("exp", "inf"))
    except (LookupError, TypeError, ValueError, AttributeError):
        errors.raise_alone(Unreachable("MalformedAnswer"))
    return _Kept(value, _version(secret), _tags(secret), begins, ends)


def _version(secret: dict[str, Any]) -> str:
    version = str(secret.get("id")).rpartition("/")[2]
    if _VERSION.fullmatch(version):
        return version
    raise Unreachable("MalformedAnswer")


def _tags(secret: dict[str, Any]) -> dict[str, str]:
    tags = secret.get("tags") or {}
    if isinstance(tags, dict) and all(isinstance(text, str) for text in tags.values()):
        return tags
    raise Unreachable("MalformedAnswer")


def _meaning(answer: Answer) -> StoreError:
    """Map an error response by its codes, the most specific one first, and its status."""
    if answer.status < HTTPStatus.BAD_REQUEST:
        return Unreachable("MalformedAnswer")
    meaning = errors.of_status(answer.status, answer.headers.get("Retry-After"))
    error = properties.error_in(answer.body)
    inner = error.get("innererror")
    said = [inner.get("code") if isinstance(inner, dict) else None, error.get("code")]
    codes = [errors.word(code) for code in said if code is not None]
    known = next((code for code in codes if code in _MEANINGS), None)
    if known is not None and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        kind, hint = _MEANINGS[known]
        return kind(known, hint, retry_after=meaning.retry_after)
    hint = _HINTS.get(type(meaning), "")
    return type(meaning)(codes[0] if codes else meaning.code, hint, retry_after=meaning.retry_after)
