"""HashiCorp Vault and OpenBao: the key-value engine in its versions 1 and 2, with a token."""

from __future__ import annotations

import asyncio
import json
import ssl
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

from yarl import URL

from keyturn.api.base import Schema
from keyturn.api.spelled import Spelled
from keyturn.core.value import Value

from . import errors, properties
from ._refs import KeyRef
from .base import MOST_KEYS, Can, Content, Found, Given, Provider, Reference
from .errors import Conflict, NotFound, Refused, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Vault", "VaultConfig"]

_MOUNT: Final = "secret"
_MOST_FOLDERS: Final = 1000

Server = Annotated[
    str,
    Spelled(
        r"^https?://[A-Za-z0-9._:\[\]-]+/?$",
        "write the address of the server without a path, such as https://vault.shop.test:8200",
        512,
    ),
]
VaultPath = Annotated[
    str,
    Spelled(
        r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
        "write a path such as team/secret, without a slash at its ends",
        256,
    ),
]


class Engine(StrEnum):
    """The versions of the key-value engine."""

    V1 = "v1"
    V2 = "v2"


class TokenAuth(Schema):
    """A token."""

    secret_ref: KeyRef
    """The key of a Secret that holds it."""


class VaultAuth(Schema):
    """A login of Vault."""

    token: TokenAuth
    """A token that somebody else renews."""


class VaultConfig(Schema):
    """The key-value engine of HashiCorp Vault or OpenBao."""

    server: Server
    """The address of the server, such as https://vault.shop.test:8200."""
    mount: VaultPath | None = None
    """Where the engine is mounted; secret where absent."""
    version: Engine | None = None
    """The version of the engine, v1 or v2; v2 where absent."""
    namespace: VaultPath | None = None
    """The namespace in Vault, for its editions that have them."""
    ca_ref: KeyRef | None = None
    """The key of a ConfigMap with the certificates of the authorities to trust; the system's where absent."""
    auth: VaultAuth
    """How we log in."""

    @property
    def has_versions(self) -> bool:
        return self.version is not Engine.V1


class Vault(Provider[VaultConfig]):
    """Reads and writes secrets by their paths below the mount; their fields are the properties."""

    kind = "vault"
    Config = VaultConfig
    can = frozenset(Can)

    @classmethod
    def needs(cls, config: VaultConfig) -> tuple[Reference, ...]:
        token = config.auth.token.secret_ref.in_secret()
        return (token, config.ca_ref.in_config_map()) if config.ca_ref else (token,)

    def __init__(self, config: VaultConfig, given: Given) -> None:
        super().__init__(config, given)
        self._trust: ssl.SSLContext | None = None
        if not config.has_versions:
            self.can = frozenset({Can.LIST, Can.WRITE})  # type: ignore[misc]  # of this store, not of all

    async def _read(self, key: str, version: str | None) -> Found:
        if not self.config.has_versions:
            return Found(_content(_at(await self._ask("GET", key), "data")))
        query = f"?version={_number(version)}" if version else ""
        answer = _at(await self._ask("GET", f"data/{key}", query=query), "data")
        return Found(_content(_at(answer, "data")), str(_at(answer, "metadata").get("version")))

    async def _keys(self, prefix: str) -> tuple[str, ...]:
        found: list[str] = []
        folders = [prefix[: prefix.rfind("/") + 1]]
        for _ in range(_MOST_FOLDERS):
            if not folders or len(found) > MOST_KEYS:
                return tuple(found)
            folder = folders.pop()
            for name in await self._names(folder):
                if name.endswith("/"):
                    folders.extend([folder + name] if _may_hold(folder + name, prefix) else [])
                else:
                    found.append(folder + name)
        raise Refused("TooManyKeys", f"more than {_MOST_FOLDERS} folders; write a longer prefix")

    async def _put(self, key: str, content: Content, before: Found | None) -> str | None:
        fields = properties.fields(content)
        if not self.config.has_versions:
            await self._ask("POST", key, fields)
            return None
        if before is not None:
            return await self._set(key, fields, int(before.version or 0))
        try:
            return await self._set(key, fields, 0)  # holds where there never was a version
        except Conflict:
            deleted = await self._deleted(key)
        if deleted is None:
            raise Conflict("CheckAndSet")
        return await self._set(key, fields, deleted)

    async def _set(self, key: str, fields: Mapping[str, str], based_on: int) -> str:
        """Write a version if the one before it is still `based_on`."""
        try:
            answer = await self._ask("POST", f"data/{key}", {"options": {"cas": based_on}, "data": fields})
        except Refused:  # a version that is not the newest, or anything else: the words alone tell
            if _newest(await self._facts(key)) == based_on:
                raise
        else:
            return str(_at(answer, "data").get("version"))
        raise Conflict("CheckAndSet")

    async def _delete(self, key: str) -> None:
        try:
            await self._ask("DELETE", f"data/{key}" if self.config.has_versions else key)
        except NotFound:
            return

    async def _deleted(self, key: str) -> int | None:
        """Return the number of the newest version if it was deleted, so that it may be written over."""
        facts = await self._facts(key)
        newest = _newest(facts)
        version = _at(_at(facts, "versions"), str(newest))
        return newest if version.get("destroyed") or version.get("deletion_time") else None

    async def _facts(self, key: str) -> dict[str, Any]:
        """Read what Vault tells of all versions; nothing where there never was one."""
        try:
            return _at(await self._ask("GET", f"metadata/{key}"), "data")
        except NotFound:
            return {}

    async def _names(self, folder: str) -> list[str]:
        path = f"metadata/{folder}" if self.config.has_versions else folder
        try:
            names = _at(await self._ask("GET", path, query="?list=true"), "data").get("keys")
        except NotFound:
            return []
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: str = ""
    ) -> dict[str, Any]:
        if self.given.guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        mount = self.config.mount or _MOUNT
        address = f"{self.config.server.rstrip('/')}/v1/{mount}/{quote(path, safe='/')}{query}"
        answer = await self.given.guard.ask(
            method,
            URL(address, encoded=True),
            headers=self._headers(),
            body=json.dumps(body).encode() if body is not None else None,
            trust=await self._trusted(),
        )
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise errors.of_status(answer.status, answer.headers.get("Retry-After"))
        return properties.object_of(answer.body) if answer.body else {}

    def _headers(self) -> dict[str, str]:
        namespace = {"X-Vault-Namespace": self.config.namespace} if self.config.namespace else {}
        return {"X-Vault-Token": self._token(), "X-Vault-Request": "true", **namespace}

    def _token(self) -> str:
        found = self.given.referred.get(self.config.auth.token.secret_ref.in_secret())
        if found is None or not isinstance(found.content, Value):
            raise Unauthorized("NoLogin", "the Secret with the token is not there")
        token = found.content.reveal().strip()
        if not token or not all(0x21 <= byte < 0x7F for byte in token):  # noqa: PLR2004  # printable ASCII
            raise Unauthorized("NoLogin", "the Secret holds no token under this key")
        return token.decode("ascii")

    async def _trusted(self) -> ssl.SSLContext | None:
        if self.config.ca_ref is not None and self._trust is None:
            found = self.given.referred.get(self.config.ca_ref.in_config_map())
            if found is None or not isinstance(found.content, Value):
                raise Refused("NoAuthorities", "the ConfigMap of caRef is not there")
            self._trust = await asyncio.to_thread(_trusting, found.content.reveal())
        return self._trust

    def _check(self, key: str) -> None:
        super()._check(key)
        if any(segment in {"", ".", ".."} for segment in key.rstrip("/").split("/")):
            raise Refused(
                "InvalidKey", "a key is a path such as shop/auth, without empty parts and dots alone"
            )


def _trusting(certificates: bytes) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=certificates.decode("ascii"))
    except (ssl.SSLError, ValueError):
        pass
    raise Refused("NoAuthorities", "caRef names no certificates in PEM")


def _newest(facts: Mapping[str, Any]) -> int:
    newest = str(facts.get("current_version", 0))
    return int(newest) if newest.isdecimal() else 0


def _may_hold(folder: str, prefix: str) -> bool:
    return folder.startswith(prefix) or prefix.startswith(folder)


def _number(version: str) -> str:
    if version.isascii() and version.isdecimal():
        return version
    raise Refused("InvalidVersion", "a version is a number, such as 3")


def _at(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = answer.get(name)
    if isinstance(found, dict):
        return found
    if name in answer and found is None:  # a deleted version has metadata only
        raise NotFound("Deleted")
    raise Unreachable("MalformedAnswer")


def _content(fields: Mapping[str, Any]) -> Value:
    return Value(properties.written(fields))
