"""Server of metrics and probes: listener, certificate and authorization."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from . import server
from .scrape_authorization import Scrapers
from .server_tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from keyturn.kube.client import Api


class MetricsServer:
    """Serves metrics, with authorization if configured, and probes, always without."""

    def __init__(self, exposure: server.Exposure, api: Api, audiences: Callable[[], Collection[str]]) -> None:
        """`api` sends requests also without leadership; `audiences` are those of the API server."""
        self._ports = exposure.ports
        self._tls = ServerTls.of(exposure.certificate, exposure.key, "metrics")
        # Plain HTTP exposes the token to the network, so only tokens for the metrics alone are accepted there.
        taken = audiences if self._tls else tuple
        self._scrapers = Scrapers(api, taken) if exposure.asks_login else None

    @asynccontextmanager
    async def listening(self, site: server.Site) -> AsyncIterator[dict[str, int]]:
        """Serve until the block ends; yield the ports.

        Raises:
            CannotListen: A port is in use or not permitted.
        """
        guarded = replace(site, scrapers=self._scrapers)
        tls = self._tls.context if self._tls else None
        async with server.serve(guarded, self._ports, tls=tls) as ports:
            yield {"metrics_port": ports.metrics, "health_port": ports.health}

    async def keep(self) -> None:
        """Reload the certificate when its files change."""
        if self._tls:
            await self._tls.keep()
