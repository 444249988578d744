"""Server of the audit webhook within the process; off without settings, and imported on first use."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from . import server

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Collection
    from datetime import datetime

    from keyturn.core.emergency.readers import Readership
    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.client import Api

    from .audit import Audit, AuditSettings
    from .audit.audit import Proof

__all__ = ["AuditServer"]

_LIMITS = server.PortLimits(silence=120)
"""The API server keeps idle connections for 90 s, and does not retry a batch if one is closed."""


class AuditServer:
    """Without settings all methods do nothing."""

    def __init__(
        self,
        settings: AuditSettings | None,
        api: Api,
        namespace: str,
        cache: InformerCache,
        now: Callable[[], datetime],
        proof: Proof,
    ) -> None:
        """`api` writes also without leadership; `namespace` is the operator's own."""
        self._audit: Audit | None = None
        if settings:
            from .audit import Audit  # noqa: PLC0415  # on first use: it is off by default

            self._port = settings.port
            self._audit = Audit(settings, api, namespace, cache, now, proof)

    @property
    def readership(self) -> Callable[[str, Collection[str], datetime], Readership] | None:
        """Query of the readers of a Secret; None without audit events."""
        return self._audit.readership if self._audit else None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, int]]:
        """Serve until the block ends, then store what is new; yield the port, if any.

        Raises:
            CannotListen: The port is in use or not permitted.
        """
        if self._audit is None:
            yield {}
            return
        endpoint, tls = self._audit.endpoint, self._audit.login.context
        async with (
            aclosing(self._audit),
            server.listen(
                endpoint.routes(),
                self._port,
                "audit events",
                tls=tls,
                largest=endpoint.largest_body,
                limits=_LIMITS,
            ) as port,
        ):
            yield {"audit_port": port}

    async def watch(self, primed: asyncio.Event) -> None:
        """Process events, once the cache knows the managed Secrets."""
        await primed.wait()
        if self._audit:
            await self._audit.run()

    async def keep(self) -> None:
        """Store the record periodically."""
        if self._audit:
            await self._audit.keep()
