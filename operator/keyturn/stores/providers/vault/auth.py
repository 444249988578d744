"""Requests to Vault, authentication by a token, an AppRole or a ServiceAccount, and leases of dynamic credentials.

A token from a login stays in memory, is renewed while Vault allows it, and replaced before its end. If leases depend
on it, it is stored in a Secret before the first lease. Leases are kept by the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from math import inf, isinf
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from urllib.parse import quote

import pydantic
from yarl import URL

from keyturn.api.base import Schema, Spelled, rules
from keyturn.core.value import Value
from keyturn.runtime.clock import loop_time
from keyturn.stores.providers import errors, properties
from keyturn.stores.providers._refs import KeyRef, ServiceAccountRef, Trust, credential_text
from keyturn.stores.providers.base import ProviderLease, RemoteValue
from keyturn.stores.providers.errors import (
    Denied,
    NotFound,
    Refused,
    StoreError,
    Throttled,
    Unauthorized,
    Unreachable,
)

if TYPE_CHECKING:
    from keyturn.stores.providers.base import Keep, ProviderContext, Reference


class Http:
    """One Vault in one of its namespaces."""

    def __init__(
        self, server: str, namespace: str | None, ca_ref: KeyRef | None, given: ProviderContext
    ) -> None:
        self.server = server.rstrip("/")
        self._namespace = {"X-Vault-Namespace": namespace} if namespace else {}
        self._given = given
        self._trust = Trust(ca_ref, given)

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        query: str = "",
    ) -> dict[str, Any]:
        """Send a request below /v1/ and return the JSON object of the response."""
        login = {"X-Vault-Token": token} if token else {}
        answer = await self._given.network.ask(
            method,
            URL(f"{self.server}/v1/{quote(path, safe='/')}{query}", encoded=True),
            headers={"X-Vault-Request": "true", **login, **self._namespace},
            body=properties.written(body) if body is not None else None,
            trust=await self._trust.load(),
        )
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise errors.of_status(answer.status, answer.headers.get("Retry-After"))
        return await properties.object_apart(answer.body, self._given.owner) if answer.body else {}


def seconds(answer: Mapping[str, Any], name: str) -> int:
    """Return a number of seconds of a response; 0 if absent."""
    text = str(answer.get(name, ""))[:9]
    return int(text) if text.isascii() and text.isdecimal() else 0


# Session: a token with its duration

_MAX_NAME_LENGTH: Final = 256


@dataclass(slots=True, eq=False)
class VaultSession:
    """A token that Vault accepts."""

    token: str = field(repr=False)
    lasts: float = inf
    """Duration in seconds when it was issued."""
    ends: float = inf
    """Time of the event loop."""
    is_renewable: bool = False
    name: str = ""
    """Accessor of the token, which does not authenticate; empty for a token that is managed elsewhere."""

    @property
    def left(self) -> float:
        """Seconds until it ends."""
        return max(self.ends - loop_time(), 0.0)

    @property
    def is_stale(self) -> bool:
        """Whether half of its duration is over."""
        return not isinf(self.ends) and self.ends - loop_time() <= self.lasts / 2

    @property
    def is_over(self) -> bool:
        return self.ends <= loop_time()


def session_of(answer: Mapping[str, Any], asked: float) -> VaultSession:
    auth = answer.get("auth")
    token = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(token, str) or not is_token(token):
        raise Unauthorized(
            "NoToken", "Vault returned no token; a login with a second factor is not supported"
        )
    lasts = seconds(auth, "lease_duration") or inf
    return VaultSession(token, lasts, asked + lasts, auth.get("renewable") is True, _name(auth))


def _name(about: Mapping[str, Any]) -> str:
    name = about.get("accessor")
    return name if isinstance(name, str) and len(name) <= _MAX_NAME_LENGTH else ""


def is_token(text: str) -> bool:
    return re.fullmatch(r"[!-~]+", text) is not None


def session_about(token: str, answer: Mapping[str, Any], asked: float) -> VaultSession | None:
    """Parse Vault's lookup of a token."""
    about = answer.get("data")
    if not isinstance(about, dict):
        return None
    lasts = seconds(about, "creation_ttl") or inf
    ends = inf if isinf(lasts) else asked + seconds(about, "ttl")
    return VaultSession(token, lasts, ends, about.get("renewable") is True, _name(about))


# Dynamic credentials: generated by a read, and valid until their lease or the session ends

Ask: TypeAlias = Callable[..., Awaitable[tuple[dict[str, Any], "VaultSession"]]]
"""Sends a request to Vault: method, path and body; returns the response and the session of the request."""

_RENEW: Final = "sys/leases/renew"
_REVOKE: Final = "sys/leases/revoke"
_MAX_SECONDS: Final = 30 * 365 * 86400
"""Seconds; longer leases count as this."""
_MAX_ID_LENGTH: Final = 1024


async def acquire_lease(ask: Ask, path: str, issuer: str) -> RemoteValue:
    """Have Vault generate credentials."""
    answer, session = await ask("GET", path)
    data = answer.get("data")
    if not isinstance(data, dict):
        raise Unreachable("MalformedAnswer")
    content = Value(properties.written(data))
    id_ = answer.get("lease_id")
    if not isinstance(id_, str) or not 0 < len(id_) <= _MAX_ID_LENGTH:  # an engine without leases
        return RemoteValue(content)
    lasts = min(seconds(answer, "lease_duration") or _MAX_SECONDS, session.left)
    return RemoteValue(content, id_, ProviderLease(id_, session.name, timedelta(seconds=lasts), issuer))


async def renew_lease(ask: Ask, lease: ProviderLease) -> timedelta | None:
    """Renew a lease; None if it expired, is not renewable, or ends with a session that is gone."""
    try:
        answer, session = await ask("POST", _RENEW, {"lease_id": lease.id})
    except (Throttled, Unreachable):
        raise
    except StoreError:  # expired, or not permitted
        return None
    if session.name != lease.login:
        return None
    return timedelta(seconds=min(seconds(answer, "lease_duration"), session.left, _MAX_SECONDS))


async def revoke_lease(ask: Ask, lease: ProviderLease) -> None:
    """Revoke a lease; an unknown one is no error for Vault."""
    await ask("POST", _REVOKE, {"lease_id": lease.id, "sync": True})


_VAULT: Final = "vault"
_REVOCATION_TIMEOUT: Final = 2.0
_ONE_WAY: Final = (
    "[has(self.token), has(self.appRole), has(self.kubernetes)].exists_one(given, given)",
    "write exactly one way to log in under auth: token, appRole or kubernetes",
)

VaultPath = Annotated[
    str,
    Spelled(
        r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
        "write a path such as team/secret, without a slash at its ends",
        256,
    ),
]
RoleName = Annotated[
    str,
    Spelled(r"^[A-Za-z0-9_.@/-]+$", "write the name or ID of a role as Vault has it, such as shop", 256),
]
Audience = Annotated[
    str,
    Spelled(r"^[!-~]+$", "write an audience without blanks, such as vault or https://vault.example.com", 256),
]


class TokenAuth(Schema):
    """A token."""

    secret_ref: KeyRef
    """The key of a Secret that holds it."""


class AppRoleAuth(Schema):
    """An AppRole: a role's ID and its secret."""

    mount_path: VaultPath | None = None
    """Where the auth method is mounted; approle where absent."""
    role_id: RoleName
    """The role's ID, which is no secret."""
    secret_ref: KeyRef
    """The key of a Secret that holds the secret ID."""


class KubernetesAuth(Schema):
    """A ServiceAccount, whose token Vault lets the API server review."""

    mount_path: VaultPath | None = None
    """Where the auth method is mounted; kubernetes where absent."""
    role: RoleName
    """The role in Vault that the ServiceAccount may take."""
    service_account_ref: ServiceAccountRef
    """The ServiceAccount of the consumer's namespace."""
    audience: Audience | None = None
    """The audience of its token, which the role has to ask for: vault (the default) or the server's address."""


class VaultAuth(Schema):
    """A login of Vault."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_ONE_WAY))

    token: TokenAuth | None = None
    """A token that another program renews."""
    app_role: AppRoleAuth | None = None
    """An AppRole."""
    kubernetes: KubernetesAuth | None = None
    """A ServiceAccount of the cluster, without any stored secret."""

    @property
    def references(self) -> tuple[Reference, ...]:
        """The objects that it refers to."""
        return tuple(one.secret_ref.in_secret() for one in (self.token, self.app_role) if one)


class VaultLogin:
    """Authentication of one store."""

    def __init__(self, auth: VaultAuth, http: Http, given: ProviderContext, keep: Keep | None = None) -> None:
        self._auth = auth
        self._keep = keep if auth.token is None else None
        self._http = http
        self._given = given
        self._session: VaultSession | None = None
        self._renewing = asyncio.Lock()

    async def session(self) -> VaultSession:
        """Return a session with at least half of its duration left.

        Raises:
            StoreError: There is none; Unauthorized if Vault rejects the credential.
        """
        if self._session is None or self._session.is_stale:
            async with self._renewing:
                if self._session is None or self._session.is_stale:
                    self._session = await self._newer(self._session)
        return self._session

    async def is_known(self, session: VaultSession) -> bool:
        """Whether Vault accepts the token; the default policy allows every token to look itself up."""
        try:
            await self._http.ask("GET", "auth/token/lookup-self", token=session.token)
        except (Denied, NotFound, Refused) as error:
            if error.hint:  # the guard's
                raise
            return False
        return True

    def forget(self, session: VaultSession) -> bool:
        """Drop a session that Vault rejects, and return whether another may exist."""
        if self._auth.token is not None:
            return False
        session.ends = 0.0
        if self._session is session:
            self._session = None
        return True

    async def end(self) -> None:
        """Revoke the token of a login; if that fails, it expires."""
        session, self._session = self._session, None
        if session is None or self._auth.token is not None:
            return
        with contextlib.suppress(StoreError, TimeoutError, RuntimeError):  # RuntimeError: the guard is closed
            async with asyncio.timeout(_REVOCATION_TIMEOUT):
                await self._http.ask("POST", "auth/token/revoke-self", {}, token=session.token)

    async def _newer(self, before: VaultSession | None) -> VaultSession:
        try:
            if before is None and (kept := await self._resume()):
                before = kept
                if not kept.is_stale:
                    return kept
            # Without a source of tokens its ServiceAccount may not log in any more: the session is used to its end.
            is_last = self._auth.kubernetes is not None and self._given.token_of is None
            if before and ((is_last and not before.is_over) or await self._renew(before)):
                return before
            return await self._log_in()
        except (Throttled, Unreachable):
            if before is None or before.is_over:
                raise
            return before

    async def _resume(self) -> VaultSession | None:
        """Resume the session of an earlier process, if Vault accepts it."""
        found = await self._keep.load() if self._keep else None
        text = found.reveal().decode("ascii", "replace") if found else ""
        if not is_token(text):
            return None
        asked = loop_time()
        try:
            answer = await self._http.ask("GET", "auth/token/lookup-self", token=text)
        except (Denied, NotFound, Refused) as error:
            if error.hint:  # the guard's
                raise
            return None
        return session_about(text, answer, asked)

    async def _renew(self, session: VaultSession) -> bool:
        """Renew a session, and return whether that was worth it: near its maximum Vault extends by seconds only."""
        if not session.is_renewable or session.is_over:
            return False
        asked = loop_time()
        try:
            answer = await self._http.ask("POST", "auth/token/renew-self", {}, token=session.token)
        except (Denied, NotFound, Refused):
            return False
        auth = answer.get("auth")
        session.ends = asked + (seconds(auth, "lease_duration") if isinstance(auth, dict) else 0)
        return not session.is_stale

    async def _log_in(self) -> VaultSession:
        if self._auth.token is not None:
            return VaultSession(self._text_of(self._auth.token.secret_ref))
        mount, body = await self._credentials()
        asked = loop_time()
        try:
            answer = await self._http.ask("POST", f"auth/{mount}/login", body)
        except (Denied, NotFound, Refused) as error:
            if error.hint:  # the guard's
                raise
            code = error.code
        else:
            session = session_of(answer, asked)
            if self._keep is not None:  # before a lease depends on it
                await self._keep.save(Value.of_text(session.token))
            return session
        raise Unauthorized(
            code, "Vault rejects the login; check mountPath, the role, and its bound ServiceAccounts"
        )

    async def _credentials(self) -> tuple[str, Mapping[str, str]]:
        """Return the mount of the auth method and the login request."""
        if self._auth.app_role is not None:
            role = self._auth.app_role
            secret = self._text_of(role.secret_ref)
            return role.mount_path or "approle", {"role_id": role.role_id, "secret_id": secret}
        if self._auth.kubernetes is None:
            raise Refused("NoLogin", "write exactly one way to log in under auth")
        account = self._auth.kubernetes
        audience = self._audience(account.audience)
        token = await self._given.token(account.service_account_ref.name, audience)
        return account.mount_path or "kubernetes", {"role": account.role, "jwt": token.reveal().decode()}

    def _audience(self, written: str | None) -> str:
        """Return the audience of the token: Vault's only, since any other would make it a credential elsewhere."""
        if written in {None, _VAULT} or (written or "").rstrip("/") == self._http.server.rstrip("/"):
            return written or _VAULT
        raise Refused(
            "ForeignAudience",
            "write no audience but vault or the server's address, and ask for it in the role",
        )

    def _text_of(self, ref: KeyRef) -> str:
        text = credential_text(self._given.value_of(ref.in_secret()))
        if not is_token(text):
            raise Unauthorized("NoLogin", "the Secret holds no login under this key")
        return text
