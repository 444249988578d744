"""HashiCorp Vault and OpenBao: key-value engine, versions 1 and 2, and engines with dynamic credentials."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

import pydantic

from keyturn.api.base import Schema, Spelled, rules
from keyturn.core.value import Value
from keyturn.stores.providers import properties
from keyturn.stores.providers._refs import KeyRef
from keyturn.stores.providers.base import (
    Capability,
    Content,
    Provider,
    ProviderContext,
    ProviderLease,
    Reference,
    RemoteValue,
)
from keyturn.stores.providers.errors import (
    Conflict,
    Denied,
    NotFound,
    Refused,
    Unauthorized,
    Unreachable,
    raise_alone,
)

from .auth import (
    Http,
    VaultAuth,
    VaultLogin,
    VaultPath,
    VaultSession,
    acquire_lease,
    renew_lease,
    revoke_lease,
)

_MOUNT: Final = "secret"

Server = Annotated[
    str,
    Spelled(
        r"^https?://[A-Za-z0-9._:\[\]-]+/?$",
        "write the address of the server without a path, such as https://vault.shop.test:8200",
        512,
    ),
]


class Engine(StrEnum):
    """What is mounted."""

    KEY_VALUE = "keyValue"
    DYNAMIC = "dynamic"


class Version(StrEnum):
    """The versions of the key-value engine."""

    V1 = "v1"
    V2 = "v2"


class VaultConfig(Schema):
    """One engine of HashiCorp Vault or OpenBao."""

    model_config = pydantic.ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.engine) || self.engine != 'dynamic' || (has(self.mount) && !has(self.version))",
                "a dynamic engine needs a mount such as database, and has no version",
            )
        )
    )

    server: Server
    """The address of the server, such as https://vault.shop.test:8200."""
    mount: VaultPath | None = None
    """Where the engine is mounted; secret where absent."""
    engine: Engine | None = None
    """Kind of the engine: keyValue (the default), or dynamic for one that generates credentials with a lease."""
    version: Version | None = None
    """The version of the key-value engine, v1 or v2; v2 where absent."""
    namespace: VaultPath | None = None
    """The namespace in Vault, for its editions that have them."""
    ca_ref: KeyRef | None = None
    """The key of a ConfigMap with the certificates of the authorities to trust; the system's where absent."""
    auth: VaultAuth
    """How we log in."""

    @property
    def is_dynamic(self) -> bool:
        return self.engine is Engine.DYNAMIC

    @property
    def has_versions(self) -> bool:
        return self.version is not Version.V1 and not self.is_dynamic


class Vault(Provider[VaultConfig]):
    """Reads and writes secrets by path below the mount; their fields are the properties."""

    kind = "vault"
    Config = VaultConfig
    capabilities = frozenset(Capability)
    rate = 200.0

    def __init__(self, config: VaultConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._http = Http(config.server, config.namespace, config.ca_ref, given)
        self._login = VaultLogin(config.auth, self._http, given, given.keep if config.is_dynamic else None)
        if config.is_dynamic:
            self.capabilities = frozenset()  # type: ignore[misc]  # of this store, not of all
        elif not config.has_versions:
            self.capabilities = frozenset({Capability.WRITE})  # type: ignore[misc]

    @classmethod
    def needs(cls, config: VaultConfig) -> tuple[Reference, ...]:
        authorities = (config.ca_ref.in_config_map(),) if config.ca_ref else ()
        return (*config.auth.references, *authorities)

    @classmethod
    def logs_in_as(cls, config: VaultConfig) -> str | None:
        account = config.auth.kubernetes
        return account.service_account_ref.name if account else None

    @classmethod
    def issues_leases(cls, config: VaultConfig) -> bool:
        return config.is_dynamic

    @classmethod
    def lease_issuer(cls, config: VaultConfig) -> str:
        return (
            f"{config.server.rstrip('/')}/{config.namespace or ''}#{config.mount}"
            if config.is_dynamic
            else ""
        )

    @classmethod
    def hold_to_issuer(cls, config: VaultConfig, lease: ProviderLease) -> None:
        if _server_of(lease.issuer) != _server_of(cls.lease_issuer(config)):
            raise Refused(  # Vault reports success for a lease that it does not know
                "OtherServer",
                "another server or namespace issued it than the store names now; revoke it there, or restore the"
                " settings",
            )

    async def check(self) -> None:
        async def check_token() -> None:
            session = await self._login.session()
            if not await self._login.is_known(session):
                await self._another(session, "UnknownToken")

        await self._within(check_token())

    async def renew_lease(self, key: str, lease: ProviderLease) -> timedelta | None:
        self._check(key)
        return await self._within(renew_lease(self._request, lease))

    async def revoke_lease(self, key: str, lease: ProviderLease) -> None:
        self._check(key)
        await self._within(revoke_lease(self._request, lease))

    async def close(self) -> None:
        if not self.config.is_dynamic:  # a lease ends with its token
            await self._login.end()

    async def _read(self, key: str, version: str | None) -> RemoteValue:
        if self.config.is_dynamic:
            issuer = self.lease_issuer(self.config)
            return await acquire_lease(self._request, self._path(key), issuer)
        if not self.config.has_versions:
            return RemoteValue(_content(_at(await self._ask("GET", key), "data")))
        if version and not (version.isascii() and version.isdecimal()):
            raise Refused("InvalidVersion", "a version is a number, such as 3")
        query = f"?version={version}" if version else ""
        answer = _at(await self._ask("GET", f"data/{key}", query=query), "data")
        return RemoteValue(_content(_at(answer, "data")), str(_at(answer, "metadata").get("version")))

    async def _compare(self, found: Content, desired: Content) -> bool:
        return await properties.compare_members(found, desired, self.given.owner)

    async def _put(self, key: str, content: Content, before: RemoteValue | None) -> str | None:
        fields = properties.fields(content)
        if not self.config.has_versions:
            await self._ask("POST", key, fields)
            return None
        if before is not None:
            return await self._set(key, fields, int(before.version or 0))
        try:
            return await self._set(key, fields, 0)  # succeeds only without any version
        except Conflict:
            deleted = await self._read_deleted_version(key)
        if deleted is None:
            raise Conflict("CheckAndSet")
        return await self._set(key, fields, deleted)

    async def _set(self, key: str, fields: Mapping[str, Any], based_on: int) -> str:
        """Write a version if the current one is `based_on` (check-and-set)."""
        try:
            answer = await self._ask("POST", f"data/{key}", {"options": {"cas": based_on}, "data": fields})
        except Refused:  # not the newest version, or another error: only the text differs
            if _newest(await self._facts(key)) == based_on:
                raise
            raise_alone(Conflict("CheckAndSet"))
        return str(_at(answer, "data").get("version"))

    async def _delete(self, key: str) -> None:
        await self._ask("DELETE", f"data/{key}" if self.config.has_versions else key)

    async def _read_deleted_version(self, key: str) -> int | None:
        """Return the number of the newest version if it was deleted, so that check-and-set can replace it.

        Vault decides by its own clock: with delete_version_after a version has a future deletion time from the start.
        """
        newest = _newest(await self._facts(key))
        try:
            await self._read(key, str(newest))
        except NotFound:
            return newest
        return None

    async def _facts(self, key: str) -> dict[str, Any]:
        """Return the metadata of all versions; empty if there are none."""
        try:
            return _at(await self._ask("GET", f"metadata/{key}"), "data")
        except NotFound:
            return {}

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: str = ""
    ) -> dict[str, Any]:
        answer, _ = await self._request(method, self._path(path), body, query=query)
        return answer

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: str = ""
    ) -> tuple[dict[str, Any], VaultSession]:
        """Send a request, and repeat it once with a new token if Vault rejects the old one."""
        session = await self._login.session()
        try:
            return await self._http.ask(method, path, body, token=session.token, query=query), session
        except Denied as error:
            code = error.code
        if await self._login.is_known(session):
            raise Denied(code, "the token's policies do not allow this; extend one of them")
        session = await self._another(session, code)
        return await self._http.ask(method, path, body, token=session.token, query=query), session

    async def _another(self, session: VaultSession, code: str) -> VaultSession:
        if self._login.forget(session):
            return await self._login.session()
        raise Unauthorized(code, "Vault rejects the token; write a new one with the default policy")

    def _path(self, path: str) -> str:
        return f"{self.config.mount or _MOUNT}/{path}"

    def _check(self, key: str) -> None:
        super()._check(key)
        if any(segment in {"", ".", ".."} for segment in key.rstrip("/").split("/")):
            raise Refused(
                "InvalidKey", "a key is a path such as shop/auth, without empty parts and dots alone"
            )


def _server_of(issuer: str) -> str:
    """Return server and namespace, without the mount: a lease is revoked by its ID alone."""
    return issuer.rpartition("#")[0]


def _newest(facts: Mapping[str, Any]) -> int:
    newest = str(facts.get("current_version", 0))
    return int(newest) if newest.isdecimal() else 0


def _at(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = answer.get(name)
    if isinstance(found, dict):
        return found
    if name in answer and found is None:  # a deleted version has metadata only
        raise NotFound("Deleted")
    raise Unreachable("MalformedAnswer")


def _content(fields: Mapping[str, Any]) -> Value:
    return Value(properties.written(fields))
