"""Azure Key Vault: secrets by their names, in Azure's versions; what is deleted can be recovered."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from keyturn.core.value import Value
from keyturn.runtime import threadpools as threads

from . import properties
from ._azure import DELETED, AzureKeyVaultConfig, place_of
from ._azure_login import AzureLogin
from .base import Can, Content, Provider, ProviderContext, Reference, RemoteValue
from .errors import Conflict, NotFound, Refused

if TYPE_CHECKING:
    from types import ModuleType

    from ._azure_sdk import Kept, Vault

__all__ = ["AzureKeyVault", "AzureKeyVaultConfig"]

_NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")
_PATH: Final = re.compile(r"[0-9A-Za-z]+(-[0-9A-Za-z]+)*(/[0-9A-Za-z]+(-[0-9A-Za-z]+)*)+")
_BETWEEN: Final = "--"
"""What stands for a slash, which Azure has not, so that {namespace}/ can keep the namespaces of a store apart."""
_VERSION: Final = re.compile(r"[0-9A-Fa-f]{32}")
_LARGEST: Final = 25 * 1024
_TAGS: Final = {"managed-by": "keyturn"}


class AzureKeyVault(Provider[AzureKeyVaultConfig]):
    """Reads and writes secrets; several parts are one JSON document.

    A key is the name of a secret. One with slashes is the name that has -- for each; no part of it has -- itself or -
    at an end, so that no two of them are the same name.

    A name that was deleted is recovered before it is written over, with its older versions; nothing is ever purged.
    Azure has no conditional writes: we look right before we write, and what others write in that moment is an older
    version afterwards.
    """

    kind = "azureKeyVault"
    Config = AzureKeyVaultConfig
    can = frozenset(Can)
    rate = 200.0  # half of what Azure lets a vault answer

    def __init__(self, config: AzureKeyVaultConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._opening = asyncio.Lock()
        self._vault: Vault | None = None

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
        kept = await self._kept(key, version)
        return RemoteValue(kept.value, kept.version)

    async def _keys(self, prefix: str) -> tuple[str, ...]:
        names = await (await self._opened()).names()  # Azure lists all or nothing
        return tuple(name.replace(_BETWEEN, "/") for name in names) if "/" in prefix else tuple(names)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        text, content_type = _written(content)
        vault, name = await self._opened(), _name(key)
        kept = await self._kept_now(key)
        if (kept and kept.version) != (before and before.version):
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
            await (await self._opened()).delete(_name(key))
        except NotFound:
            return

    async def _kept(self, key: str, version: str | None) -> Kept:
        """Read what is of use now: Azure keeps dates, and leaves it to the reader to mind them."""
        kept = await (await self._opened()).get(_name(key), version)
        now = datetime.now(UTC)
        if kept.ends is not None and kept.ends <= now:
            raise NotFound("Expired", "the secret has expired; set a new version or a later date")
        if kept.begins is not None and kept.begins > now:
            raise Refused("NotYetValid", "the secret is not valid yet; wait, or set an earlier date")
        return kept

    async def _kept_now(self, key: str) -> Kept | None:
        try:
            return await self._kept(key, None)
        except NotFound:
            return None

    async def _opened(self) -> Vault:
        async with self._opening:
            if self._vault is None:
                self._vault = await self._made()
            return self._vault

    async def _made(self) -> Vault:
        guard = self.given.guard
        if guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        place = place_of(self.config, guard)
        sdk = await threads.for_us(_sdk)  # it takes a second, in which others go on
        made: Vault = sdk.Vault(
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
    return key.replace("/", _BETWEEN)


def _sdk() -> ModuleType:
    from . import _azure_sdk  # noqa: PLC0415  # on first use: the idle operator's memory is limited

    return _azure_sdk


def _written(content: Content) -> tuple[str, str]:
    """Write `content` as Azure keeps it: a text, and what it says of the text's type."""
    content_type = "text/plain" if isinstance(content, Value) else "application/json"
    raw = properties.document(content).reveal()
    if len(raw) > _LARGEST:
        raise Refused("TooLarge", f"Key Vault keeps {_LARGEST} bytes under a name; push fewer keys to one")
    try:
        return raw.decode(), content_type
    except UnicodeDecodeError:
        pass
    # Outside the handler, because the error quotes the value.
    raise Refused("NotText", "Key Vault keeps text only; push a value in base64 or hex")
