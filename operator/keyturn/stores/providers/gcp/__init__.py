"""Google Cloud Secret Manager: versions by number or alias, of a project or of one region.

Its REST API by the guard: Google's own client would connect itself, by gRPC, past the guard.
"""

import asyncio
import base64
import json
import re
import time
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from keyturn.api.base import Schema, Spelled
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
from keyturn.stores.providers.errors import Conflict, Refused, StoreError, Unreachable, UnusableError
from keyturn.stores.providers.guard import Answer

from .login import GcpAuth, GcpLogin

_MAX_BYTES: Final = 64 * 1024
"""Maximum bytes of one version."""
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_VERSION: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_LATEST: Final = "latest"
_WITHOUT_VALUE: Final = re.compile(r"Secret Version \[[^\]]*\] is in (DISABLED|DESTROYED) state")
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
        self._login = GcpLogin(config.auth, given)

    @classmethod
    def needs(cls, config: GcpSecretManagerConfig) -> tuple[Reference, ...]:
        return config.auth.needs()

    @classmethod
    def logs_in_as(cls, config: GcpSecretManagerConfig) -> str | None:
        return config.auth.service_account()

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        if version is not None and not _VERSION.fullmatch(version):
            raise Refused("InvalidVersion", "a version is a number, an alias or latest")
        answer = await self._ask("GET", f"{self._name(key)}/versions/{version or _LATEST}:access")
        return RemoteValue(_content(answer.get("payload")), _number(answer.get("name")))

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        value = properties.document(content).reveal()
        if len(value) > _MAX_BYTES:
            raise Refused("TooLarge", f"Secret Manager keeps values of {_MAX_BYTES} bytes")
        if before is None:
            await self._make_room(key)
        payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": _checksum(value)}
        added = await self._ask("POST", f"{self._name(key)}:addVersion", {"payload": payload})
        return _number(added.get("name"))

    async def _delete(self, key: str) -> None:
        await self._ask("DELETE", self._name(key))

    async def _make_room(self, key: str) -> None:
        """Create the secret, or check that the existing one has no current version."""
        secret: dict[str, Any] = {"labels": {"managed-by": "keyturn"}}
        if self.config.location is None:
            secret["replication"] = {"automatic": {}}
        try:
            await self._ask("POST", f"{self.config.parent}/secrets?secretId={key}", secret)
        except Conflict:
            if await self._is_taken(key):
                await asyncio.sleep(_CONFLICT_DELAY)
                errors.raise_alone(Conflict("AlreadyExists"))

    async def _is_taken(self, key: str) -> bool:
        """Whether a secret has an enabled version, or is so new that its creator is about to add one."""
        page = await self._ask("GET", f"{self._name(key)}/versions?pageSize=1")
        match page:
            case {"versions": [{"state": state}, *_]}:  # the newest version, which was read
                return bool(state == "ENABLED")
        secret = await self._ask("GET", self._name(key))
        try:
            created = datetime.fromisoformat(str(secret.get("createTime"))).timestamp()
        except (ValueError, OverflowError):
            errors.raise_alone(Unreachable("MalformedAnswer"))
        return time.time() - created < _CREATION_SECONDS

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        token = await self._login.token()
        answer = await self.given.network.ask(
            method,
            f"{self.config.address.rstrip('/')}/v1/{path}",
            headers={
                "Authorization": f"Bearer {token.reveal().decode('ascii')}",
                "Content-Type": "application/json",
            },
            body=None if body is None else json.dumps(body).encode(),
        )
        if answer.status == HTTPStatus.OK:
            return await properties.object_apart(answer.body, self.given.owner)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._login.forget(token)
        raise _meaning(answer)

    def _name(self, key: str) -> str:
        return f"{self.config.parent}/secrets/{key}"

    def _check(self, key: str) -> None:
        super()._check(key)
        if not _KEY.fullmatch(key):
            raise Refused("InvalidKey", "a key has 1 to 255 letters, digits, '-' and '_'")


def _meaning(answer: Answer) -> StoreError:
    """Map an error by its status; its text tells only cases apart that share a status."""
    error = properties.error_in(answer.body)
    meaning = errors.of_status(answer.status, answer.headers.get("Retry-After"))
    status, message = error.get("status"), error.get("message")
    # A disabled KMS key has the same status.
    if status == "FAILED_PRECONDITION" and _WITHOUT_VALUE.match(str(message)):
        return UnusableError("Disabled", "the version is disabled or destroyed; enable it or add another")
    if not isinstance(status, str):
        return meaning
    code = errors.word("".join(part.capitalize() for part in status.split("_")))
    return type(meaning)(code, retry_after=_retry_delay(error) or meaning.retry_after)


def _retry_delay(error: dict[str, Any]) -> float | None:
    match error.get("details"):
        case [*details]:
            delays = [one.get("retryDelay") for one in details if isinstance(one, dict)]
            return next(
                (
                    errors.seconds(one.partition(".")[0].removesuffix("s"))
                    for one in delays
                    if isinstance(one, str)
                ),
                None,
            )
    return None


def _content(payload: Any) -> Value:
    """Return the bytes if their checksum matches."""
    try:
        data = base64.b64decode(payload.get("data", ""), validate=True)
        checksum = payload.get("dataCrc32c")
    except (ValueError, TypeError, AttributeError):
        errors.raise_alone(Unreachable("MalformedAnswer"))
    if len(data) > _MAX_BYTES:
        raise Refused("TooLarge", f"Secret Manager keeps values of {_MAX_BYTES} bytes")
    if checksum not in (None, str(_checksum(data))):
        raise Unreachable("ChecksumMismatch")
    return Value(data)


def _checksum(data: bytes) -> int:
    """Return the CRC-32C (RFC 3720) that Google Cloud sends with each secret version."""
    import google_crc32c  # noqa: PLC0415  # on first use: commands have no stores

    checksum: int = google_crc32c.value(data)
    return checksum


def _number(name: object) -> str:
    number = str(name).rpartition("/")[2]
    if _NUMBER.fullmatch(number):
        return number
    raise Unreachable("MalformedAnswer")
