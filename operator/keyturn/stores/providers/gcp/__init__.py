"""Google Cloud Secret Manager: versions by number or alias, of a project or of one region."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated, Any, Final

from keyturn.api.base import Schema, Spelled
from keyturn.core.value import Value
from keyturn.stores.providers import properties
from keyturn.stores.providers.base import (
    Capability,
    Content,
    Provider,
    ProviderContext,
    Reference,
    RemoteValue,
)
from keyturn.stores.providers.errors import Conflict, NotFound, Refused, Unreachable

from .client import SecretManager
from .login import GcpAuth

_MAX_BYTES: Final = 64 * 1024
"""Maximum bytes of one version."""
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_VERSION: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_LATEST: Final = "latest"
_ENABLED: Final = 1
_CREATION_SECONDS: Final = 60.0
"""Seconds that the creator of a secret has to add its first version."""
_CONFLICT_DELAY: Final = 0.2

Project = Annotated[
    str,
    Spelled(r"^([a-z0-9.-]+:)?[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "write a project's ID such as shop-prod", 128),
]
Location = Annotated[str, Spelled(r"^[a-z]+(-[a-z]+)+[0-9]{1,2}$", "write a region such as europe-west3", 40)]
Endpoint = Annotated[
    str,
    Spelled(
        r"^https?://[A-Za-z0-9._:\[\]-]+/?$",
        "write an endpoint such as https://secretmanager-shop.p.googleapis.com, without a path",
        512,
    ),
]


class GcpSecretManagerConfig(Schema):
    """Google Cloud Secret Manager in one project."""

    project_id: Project
    """The ID of the project, such as shop-prod."""
    location: Location | None = None
    """The region of regional secrets, such as europe-west3; the project's global secrets where absent."""
    endpoint: Endpoint | None = None
    """Another address of the service, such as one of Private Service Connect; the public one where absent."""
    auth: GcpAuth
    """How we log in."""

    @property
    def address(self) -> str:
        region = f".{self.location}.rep" if self.location else ""
        return self.endpoint or f"https://secretmanager{region}.googleapis.com"

    @property
    def parent(self) -> str:
        project = f"projects/{self.project_id}"
        return f"{project}/locations/{self.location}" if self.location else project


class GcpSecretManager(Provider[GcpSecretManagerConfig]):
    """Reads and writes secrets by ID."""

    kind = "gcpSecretManager"
    Config = GcpSecretManagerConfig
    capabilities = frozenset(Capability)
    rate = 200.0
    parts_with = "_"

    def __init__(self, config: GcpSecretManagerConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._google = SecretManager(config.address, config.auth, given)

    @classmethod
    def needs(cls, config: GcpSecretManagerConfig) -> tuple[Reference, ...]:
        return config.auth.needs()

    @classmethod
    def logs_in_as(cls, config: GcpSecretManagerConfig) -> str | None:
        return config.auth.service_account()

    async def close(self) -> None:
        await self._google.close()

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        if version is not None and not _VERSION.fullmatch(version):
            raise Refused("InvalidVersion", "a version is a number, an alias or latest")
        name = f"{self._name(key)}/versions/{version or _LATEST}"
        answer = await self._google.call("access_secret_version", {"name": name})
        return RemoteValue(_content(answer.payload), _number(answer.name))

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        value = properties.document(content).reveal()
        if len(value) > _MAX_BYTES:
            raise Refused("TooLarge", f"Secret Manager keeps values of {_MAX_BYTES} bytes")
        if before is None:
            await self._make_room(key)
        payload = {"data": value, "data_crc32c": _checksum(value)}
        added = await self._google.call("add_secret_version", {"parent": self._name(key), "payload": payload})
        return _number(added.name)

    async def _delete(self, key: str) -> None:
        try:
            await self._google.send("delete_secret", {"name": self._name(key)})
        except NotFound:
            return

    async def _make_room(self, key: str) -> None:
        """Create the secret, or check that the existing one has no current version.

        Raises:
            Conflict: Another writer has just written, or is about to.
        """
        secret: dict[str, Any] = {"labels": {"managed-by": "keyturn"}}
        if self.config.location is None:
            secret["replication"] = {"automatic": {}}
        request = {"parent": self.config.parent, "secret_id": key, "secret": secret}
        try:
            await self._google.call("create_secret", request)
        except Conflict:
            pass
        else:
            return
        if await self._is_taken(key):
            await asyncio.sleep(_CONFLICT_DELAY)
            raise Conflict("AlreadyExists")

    async def _is_taken(self, key: str) -> bool:
        """Whether a secret has an enabled version, or is so new that its creator is about to add one."""
        request = {"parent": self._name(key), "page_size": 1}
        page = await self._google.call("list_secret_versions", request)
        if page.versions:  # the newest version, which was read
            return bool(page.versions[0].state == _ENABLED)
        secret = await self._google.call("get_secret", {"name": self._name(key)})
        return bool(time.time() - secret.create_time.timestamp() < _CREATION_SECONDS)

    def _name(self, key: str) -> str:
        return f"{self.config.parent}/secrets/{key}"

    def _check(self, key: str) -> None:
        super()._check(key)
        if not _KEY.fullmatch(key):
            raise Refused("InvalidKey", "a key has 1 to 255 letters, digits, '-' and '_'")


def _content(payload: Any) -> Value:
    """Return the bytes if their checksum matches."""
    data = bytes(payload.data)
    if len(data) > _MAX_BYTES:
        raise Refused("TooLarge", f"Secret Manager keeps values of {_MAX_BYTES} bytes")
    if "data_crc32c" in payload and payload.data_crc32c != _checksum(data):
        raise Unreachable("ChecksumMismatch")
    return Value(data)


def _checksum(data: bytes) -> int:
    """Return the CRC-32C (RFC 3720) that Google Cloud sends with each secret version."""
    import google_crc32c  # noqa: PLC0415  # on first use: commands have no stores

    checksum: int = google_crc32c.value(data)
    return checksum


def _number(name: str) -> str:
    number = name.rpartition("/")[2]
    if _NUMBER.fullmatch(number):
        return number
    raise Unreachable("MalformedAnswer")
