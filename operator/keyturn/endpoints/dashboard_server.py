"""Server of the dashboard within the process; off without settings, and imported on first use."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from . import server
from .server_tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.client import Api
    from keyturn.kube.shard_election import Election

    from .dashboard import DashboardSettings

__all__ = ["DashboardServer"]


class DashboardServer:
    """Without settings all methods do nothing."""

    def __init__(
        self,
        settings: DashboardSettings | None,
        api: Api,
        cache: InformerCache,
        now: Callable[[], datetime],
        election: Election,
        unready: Callable[[], list[str]],
    ) -> None:
        """`election` names the leader, `unready` returns why this process is not ready."""
        self._settings = settings
        if settings is None:
            return
        from .dashboard import Served, Ui  # noqa: PLC0415  # on first use: it is off by default

        self._tls = ServerTls.of(settings.certificate, settings.key, "ui")
        self._ui = Ui(
            Served(
                cache,
                now,
                election.identity,
                lambda: election.leader,
                unready,
                is_secure=self._tls is not None,
            ),
            api,
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[dict[str, int]]:
        """Serve until the block ends; yield the port, if any.

        Raises:
            CannotListen: The port is in use or not permitted.
        """
        if self._settings is None:
            yield {}
            return
        from .dashboard import harden  # noqa: PLC0415

        self._ui.announce()
        async with server.listen(
            self._ui.routes(),
            self._settings.port,
            "the page",
            tls=self._tls.context if self._tls else None,
            largest=self._ui.largest_body,
            addresses=server.Addresses.ALL if self._tls else server.Addresses.LOOPBACK,
            on_prepare=harden,
        ) as port:
            yield {"ui_port": port}

    async def keep(self) -> None:
        """Reload the certificate when its files change."""
        if self._settings and self._tls:
            await self._tls.keep()
