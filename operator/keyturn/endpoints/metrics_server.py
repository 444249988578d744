"""How the process serves its metrics and the answers to probes: to whom, and with which certificate."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from . import server as web
from .scrape_authorization import Scrapers
from .server_tls import ServerTls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection

    from keyturn.kube.client import Api

__all__ = ["Meter"]


class Meter:
    """Serves both; a request for metrics needs a login where that is wanted, and a probe never does."""

    def __init__(self, exposure: web.Exposure, api: Api, audiences: Callable[[], Collection[str]]) -> None:
        """Take a client that asks also while another replica leads, and for whom tokens for the API server are."""
        self._ports = exposure.ports
        self._tls = ServerTls.of(exposure.certificate, exposure.key, "metrics")
        # A request in plain shows its token to the network: only tokens that open nothing else are taken there.
        taken = audiences if self._tls else tuple
        self._scrapers = Scrapers(api, taken) if exposure.asks_login else None

    @asynccontextmanager
    async def listening(self, site: web.Site) -> AsyncIterator[dict[str, int]]:
        """Answer until the block ends; yield the ports.

        Raises:
            CannotListen: A port is taken or not allowed.
        """
        guarded = replace(site, scrapers=self._scrapers)
        tls = self._tls.context if self._tls else None
        async with web.serve(guarded, self._ports, tls=tls) as ports:
            yield {"metrics_port": ports.metrics, "health_port": ports.health}

    async def keep(self) -> None:
        """Follow the files of the certificate."""
        if self._tls:
            await self._tls.keep()
