"""HTTP listener with limits, and the routes /metrics, /livez and /readyz."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from keyturn.runtime import threadpools

from . import exposition
from .connection_limits import ConnectionLimiter, PortLimits

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from .scrape_authorization import Scrapers

_LARGEST_BODY = 1024
_LIMITS = PortLimits()


class CannotListen(Exception):  # noqa: N818  # it says what happened
    """A port cannot be opened; the message has port and cause."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the listeners; 0 for any free port."""

    metrics: int = 8080
    health: int = 8081


@dataclass(frozen=True, slots=True)
class Exposure:
    """Settings of metrics and probes."""

    ports: Ports = Ports()
    asks_login: bool = False
    """Whether metrics require permission for `get /metrics`."""
    certificate: Path | None = None
    """Without a certificate metrics use plain HTTP."""
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Sources of the responses."""

    objects: Callable[[], Iterable[exposition.Facts]]
    """Metrics of objects and stores; called in another thread, so it begins with a copy of what may change."""
    unhealthy: Callable[[], list[str]]
    """Problems that a restart would fix, one line each; empty if healthy."""
    unready: Callable[[], list[str]]
    """Reasons why the process is not ready, one line each; empty if ready."""
    scrapers: Scrapers | None = None
    """Authorization of scrapes; None if metrics are public."""
    _scrape: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def metrics(self, request: web.Request) -> web.Response:
        if self.scrapers:
            shown = request.headers.get(hdrs.AUTHORIZATION, "")
            if refusal := await self.scrapers.refusal(shown, request.remote):
                return refusal
        accept = request.headers.get(hdrs.ACCEPT, "")
        # One at a time: each needs megabytes, and a second scraper can wait.
        async with self._scrape:
            body, content_type = await threadpools.run_own(exposition.expose, self.objects, accept)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def livez(self, _request: web.Request) -> web.Response:
        return _verdict(self.unhealthy())

    async def readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self.unready())


@asynccontextmanager
async def serve(
    site: Site, ports: Ports, limits: PortLimits = _LIMITS, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Ports]:
    """Serve until the block ends; yield the ports. Each port has its own limits.

    `tls` is for metrics; probes use plain HTTP.

    Raises:
        CannotListen: A port is in use or not permitted.
    """
    measured = [web.get("/metrics", site.metrics)]
    probed = [web.get("/livez", site.livez), web.get("/readyz", site.readyz)]
    async with AsyncExitStack() as stack:
        yield Ports(
            metrics=await stack.enter_async_context(
                listen(measured, ports.metrics, "metrics", tls=tls, limits=limits)
            ),
            health=await stack.enter_async_context(listen(probed, ports.health, "health", limits=limits)),
        )


@asynccontextmanager
async def listen(
    routes: list[web.RouteDef],
    port: int,
    purpose: str,
    *,
    tls: ssl.SSLContext | None = None,
    largest: int = _LARGEST_BODY,
    limits: PortLimits = _LIMITS,
) -> AsyncIterator[int]:
    """Serve one port until the block ends; yield the port.

    Raises:
        CannotListen: The port is in use or not permitted.
    """
    door = ConnectionLimiter(limits)
    app = web.Application(client_max_size=largest, middlewares=[door.watch])
    app.add_routes(routes)
    # aiohttp's keep-alive timeout counts from the start of the connection.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, keepalive_timeout=limits.silence)
    await runner.setup()
    try:
        listener = _bind(port, purpose)
        async with door.open(listener, _server_of(runner), tls):
            yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


def _server_of(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the server is set up before its port is opened")
    return runner.server


def _bind(port: int, purpose: str) -> socket.socket:
    """Bind a port of IPv4 and IPv6 if available: probes may use either."""
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise CannotListen(f"cannot listen on port {port} for {purpose}: {why}") from error


def _verdict(problems: list[str]) -> web.Response:
    if problems:
        return web.Response(status=503, text="".join(f"{problem}\n" for problem in problems))
    return web.Response(text="ok\n")
