"""One API server: where it is, how we trust it, and what we show to it."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Final, TypeAlias

import structlog

from keyturn.runtime import threadpools as threads

from .jwt import audiences_of

TOKEN_LIFE: Final = 60.0
"""Seconds that a token from a file is used before the file is read again."""
_PATIENCE: Final = 10.0
"""Seconds between two attempts to log in anew: a server that refuses all must not start a plugin storm."""

_log = structlog.get_logger()


class NotConfigured(Exception):  # noqa: N818  # read aloud: "not configured: …"
    """We do not know which API server to use or how to log in; the text says what to do."""


@dataclass(frozen=True, slots=True)
class ApiCredentials:
    """What we show to the API server, and for how many seconds before we look for a newer one."""

    header: str | None = field(repr=False)
    life: float = inf


Source: TypeAlias = Callable[[], ApiCredentials]
"""Looks for the current login; reads files or starts a plugin, so it blocks."""


class Connection:
    """One API server, how to trust it, and what to show it."""

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
        """Take `tls` as None for plain http, and `server_name` as the name to expect in the certificate."""
        self.server = server.rstrip("/")
        self.tls = tls
        self.namespace = namespace
        self.proxy = proxy
        self.server_name = server_name
        self._login = login
        self._source = source
        self._stale_at = monotonic() + max(login.life, _PATIENCE)
        self._tried_at = -inf
        self._renewing = asyncio.Lock()

    def audiences(self) -> frozenset[str]:
        """Name for whom our own login is good, as far as it is a token that says so."""
        return audiences_of((self._login.header or "").removeprefix("Bearer ").encode())

    async def authorization(self) -> str | None:
        """Give the current Authorization header, looked up anew when it may be outdated."""
        if monotonic() >= self._stale_at:
            await self._renew(self._login)
        return self._login.header

    async def authorization_instead_of(self, refused: str | None) -> str | None:
        """Give another header than the one the server refused, or None when there is no other."""
        if self._login.header == refused:
            await self._renew(self._login)
        return self._login.header if self._login.header != refused else None

    async def _renew(self, old: ApiCredentials) -> None:
        async with self._renewing:
            now = monotonic()
            if self._login is not old or now < self._tried_at + _PATIENCE:
                return
            self._tried_at = now
            try:
                self._login = await threads.for_us(self._source)
            except (NotConfigured, OSError) as error:
                # The old one may still be good; if it is not, the server says so.
                _log.warning("login not renewed", error=error)
                self._stale_at = now + _PATIENCE
            else:
                self._stale_at = now + max(self._login.life, _PATIENCE)
