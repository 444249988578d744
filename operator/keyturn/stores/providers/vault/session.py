"""Requests to Vault, sessions with their duration, and leases of dynamic credentials, which the caller keeps."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from math import inf, isinf
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote

from yarl import URL

from keyturn.core.value import Value
from keyturn.runtime.clock import loop_time
from keyturn.stores.providers import errors, properties
from keyturn.stores.providers._refs import trusting
from keyturn.stores.providers.base import ProviderLease, RemoteValue
from keyturn.stores.providers.errors import Refused, StoreError, Throttled, Unauthorized, Unreachable

if TYPE_CHECKING:
    import ssl

    from keyturn.stores.providers.base import ProviderContext, Reference


class Http:
    """One Vault in one of its namespaces."""

    def __init__(
        self, server: str, namespace: str | None, authorities: Reference | None, given: ProviderContext
    ) -> None:
        self.server = server.rstrip("/")
        self._namespace = {"X-Vault-Namespace": namespace} if namespace else {}
        self._authorities = authorities
        self._given = given
        self._trust: ssl.SSLContext | None = None

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
        if self._given.guard is None:
            raise Refused("NoNetwork", "this store needs the network")
        login = {"X-Vault-Token": token} if token else {}
        answer = await self._given.guard.ask(
            method,
            URL(f"{self.server}/v1/{quote(path, safe='/')}{query}", encoded=True),
            headers={"X-Vault-Request": "true", **login, **self._namespace},
            body=properties.written(body) if body is not None else None,
            trust=await self._load_trust(),
        )
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise errors.of_status(answer.status, answer.headers.get("Retry-After"))
        return await properties.object_apart(answer.body, self._given.owner) if answer.body else {}

    async def _load_trust(self) -> ssl.SSLContext | None:
        if self._authorities is not None and self._trust is None:
            self._trust = await trusting(self._given, self._authorities)
        return self._trust


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
    content = _content(answer)
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


def _content(answer: Mapping[str, Any]) -> Value:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise Unreachable("MalformedAnswer")
    return Value(properties.written(data))
