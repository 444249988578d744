"""Azure Key Vault: secrets by name, with Azure's versions and soft deletion."""

from __future__ import annotations

import asyncio
import importlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keyturn.core.value import Value
from keyturn.runtime import threadpools
from keyturn.stores.providers import properties
from keyturn.stores.providers.base import (
    Capability,
    Content,
    Provider,
    ProviderContext,
    Reference,
    RemoteValue,
)
from keyturn.stores.providers.errors import Conflict, NotFound, Refused, UnusableError

from .login import DELETED, AzureKeyVaultConfig, AzureLogin, place_of

if TYPE_CHECKING:
    from .client import Kept, KeyVaultClient

_NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")
_PATH: Final = re.compile(r"[0-9A-Za-z]+(-[0-9A-Za-z]+)*(/[0-9A-Za-z]+(-[0-9A-Za-z]+)*)+")
_SLASH: Final = "--"
"""Replaces a slash, which Azure's names do not have, so that {namespace}/ can separate namespaces."""
_VERSION: Final = re.compile(r"[0-9A-Fa-f]{32}")
_MAX_BYTES: Final = 25 * 1024
_TAGS: Final = {"managed-by": "keyturn"}


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
        self._opening = asyncio.Lock()
        self._vault: KeyVaultClient | None = None

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
        if kept.begins is not None and kept.begins > datetime.now(UTC):
            raise Refused("NotYetValid", "the secret is not valid yet; wait, or set an earlier date")
        return RemoteValue(kept.value, kept.version)

    async def _inspect(self, key: str) -> RemoteValue:
        kept = await self._get(key, None)
        return RemoteValue(kept.value, kept.version)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        text, content_type = _written(content)
        vault, name = await self._open(), _name(key)
        try:
            kept = await self._get(key, None)
        except NotFound:
            kept = None
        used = None if kept is None or _has_expired(kept) else kept  # an expired one was read as absent
        if (used and used.version) != (before and before.version):
            raise Conflict("Overtaken")
        try:
            return await vault.set(name, text, content_type, kept.tags if kept else _TAGS)
        except Conflict as error:
            if error.code != DELETED:
                raise
        tags = await vault.recover(name)
        return await vault.set(name, text, content_type, tags)

    async def _delete(self, key: str) -> None:
        try:
            await (await self._open()).delete(_name(key))
        except NotFound:
            return

    async def _get(self, key: str, version: str | None) -> Kept:
        """Read a secret that is enabled; Azure leaves the check of its dates to the reader."""
        return await (await self._open()).get(_name(key), version)

    async def _open(self) -> KeyVaultClient:
        async with self._opening:
            if self._vault is None:
                self._vault = await self._create()
            return self._vault

    async def _create(self) -> KeyVaultClient:
        guard = self.given.network
        place = place_of(self.config, guard)
        # In a thread, since it takes a second; on first use: the idle operator's memory is limited.
        sdk = await threadpools.run_own(importlib.import_module, f"{__package__}.client")
        made: KeyVaultClient = sdk.KeyVaultClient(
            place, AzureLogin(self.config, self.given, guard, place), guard, self.given.owner
        )
        return made

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


def _has_expired(kept: Kept) -> bool:
    return kept.ends is not None and kept.ends <= datetime.now(UTC)


def _written(content: Content) -> tuple[str, str]:
    """Return the text and the content type for Azure."""
    content_type = "text/plain" if isinstance(content, Value) else "application/json"
    document = properties.document(content)
    if len(document.reveal()) > _MAX_BYTES:
        raise Refused("TooLarge", f"Key Vault keeps {_MAX_BYTES} bytes under a name; push fewer keys to one")
    hint = "Key Vault keeps text only; push a value in base64 or hex"
    return properties.readable(document, hint), content_type
