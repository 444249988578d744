"""Connection to one API server: address, TLS and credentials, which are renewed."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Final, TypeAlias

import structlog

from keyturn.runtime import threadpools as threads

from .tokens import audiences_of

TOKEN_LIFE: Final = 60.0
"""Seconds after which a token file is read again."""
_MIN_RENEWAL_INTERVAL: Final = 10.0
"""Minimum seconds between two renewals, so a server that rejects every token causes no storm of plugin calls."""

_log = structlog.get_logger()


class NotConfigured(Exception):  # noqa: N818  # read aloud: "not configured: …"
    """No API server or credentials are configured; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """Authorization header, and the seconds until it is renewed."""

    header: str | None = field(repr=False)
    life: float = inf


Source: TypeAlias = Callable[[], ApiCredentials]
"""Returns current credentials; it reads files or runs a plugin, so it blocks."""


class Connection:
    """One API server with TLS settings and credentials."""

    def __init__(
        self,
        server: str,
        tls: ssl.SSLContext | None,
        login: ApiCredentials,
        source: Source,
        *,
        namespace: str = "default",
        proxy: str | None = None,
        server_name: str | None = None,
    ) -> None:
        """`tls` is None for plain http; `server_name` is the expected name in the certificate."""
        self.server = server.rstrip("/")
        self.tls = tls
        self.namespace = namespace
        self.proxy = proxy
        self.server_name = server_name
        self._login = login
        self._source = source
        self._stale_at = monotonic() + max(login.life, _MIN_RENEWAL_INTERVAL)
        self._last_attempt = -inf
        self._renewing = asyncio.Lock()

    def audiences(self) -> frozenset[str]:
        """Return the audiences of the own token; empty for other credentials."""
        return audiences_of((self._login.header or "").removeprefix("Bearer ").encode())

    async def authorization(self) -> str | None:
        """Return the Authorization header, renewed if it may have expired."""
        if monotonic() >= self._stale_at:
            await self._renew(self._login)
        return self._login.header

    async def authorization_instead_of(self, refused: str | None) -> str | None:
        """Return another header after a rejected one, or None if there is no other."""
        if self._login.header == refused:
            await self._renew(self._login)
        return self._login.header if self._login.header != refused else None

    async def _renew(self, old: ApiCredentials) -> None:
        async with self._renewing:
            now = monotonic()
            if self._login is not old or now < self._last_attempt + _MIN_RENEWAL_INTERVAL:
                return
            self._last_attempt = now
            try:
                self._login = await threads.run_own(self._source)
            except (NotConfigured, OSError) as error:
                # The old credentials may still be valid; if not, the server rejects them.
                _log.warning("credentials not reloaded", error=error)
                self._stale_at = now + _MIN_RENEWAL_INTERVAL
            else:
                self._stale_at = now + max(self._login.life, _MIN_RENEWAL_INTERVAL)
