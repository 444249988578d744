"""How the process takes audit events, if it is asked to: when it listens, when it judges, when it writes down."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from . import server as web

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Collection
    from datetime import datetime

    from keyturn.core.emergency.readers import Readership
    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.client import Api

    from .audit import Audit, Settings
    from .audit.audit import Proof

__all__ = ["Witness"]

_LIMITS = web.Limits(silence=120)
"""The API server keeps a connection for 90 s, and sends no batch twice on one that is closed just then."""


class Witness:
    """Without settings it does nothing at all."""

    def __init__(
        self,
        settings: Settings | None,
        api: Api,
        namespace: str,
        cache: InformerCache,
        now: Callable[[], datetime],
        proof: Proof,
    ) -> None:
        """Take a client that writes also while another replica leads; the namespace is the operator's own."""
        self._audit: Audit | None = None
        if settings:
            from .audit import Audit  # noqa: PLC0415  # on first use: it is off by default

            self._port = settings.port
            self._audit = Audit(settings, api, namespace, cache, now, proof)

    @property
    def readership(self) -> Callable[[str, Collection[str], datetime], Readership] | None:
        """Query of the readers of a Secret; None where no audit events are taken."""
        return self._audit.readership if self._audit else None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, int]]:
        """Take events until the block ends, and note what came last; yield the port, if there is one.

        Raises:
            CannotListen: The port is taken or not allowed.
        """
        if self._audit is None:
            yield {}
            return
        endpoint, tls = self._audit.endpoint, self._audit.login.context
        async with (
            aclosing(self._audit),
            web.listen(
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
        """Judge events, once it is known which Secrets are ours."""
        await primed.wait()
        if self._audit:
            await self._audit.run()

    async def keep(self) -> None:
        """Keep what was seen over a restart."""
        if self._audit:
            await self._audit.keep()
