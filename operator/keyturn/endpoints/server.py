"""What the process answers over HTTP: its metrics, whether it lives and whether it is ready."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import hdrs, web

from keyturn.runtime import threadpools as threads

from . import exposition
from .connection_limits import ConnectionLimiter, Limits

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from .scrape_authorization import Scrapers

__all__ = [
    "Addresses",
    "CannotListen",
    "Exposure",
    "Limits",
    "OnPrepare",
    "Ports",
    "Site",
    "listen",
    "serve",
]

OnPrepare: TypeAlias = "Callable[[web.Request, web.StreamResponse], Awaitable[None]]"
"""Sees every answer before it is sent."""


_LARGEST_BODY = 1024
_LIMITS = Limits()


class CannotListen(Exception):  # noqa: N818  # it says what happened
    """A port cannot be had; the sentence says which one and why."""


class Addresses(Enum):
    """From where a port can be reached."""

    ALL = ""
    LOOPBACK = "127.0.0.1"
    """From the pod itself, which is where `kubectl port-forward` comes from."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the answers are to be had; 0 asks for any port that is free."""

    metrics: int = 8080
    health: int = 8081


@dataclass(frozen=True, slots=True)
class Exposure:
    """How metrics and the answers to probes are served."""

    ports: Ports = Ports()
    asks_login: bool = False
    """Whether metrics are only for whom the API server lets get /metrics."""
    certificate: Path | None = None
    """Without one metrics are served in plain."""
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where the answers come from."""

    objects: Callable[[], Iterable[exposition.Facts]]
    """What is told of each object and store; called in another thread, so begins with a copy of what may change."""
    unhealthy: Callable[[], list[str]]
    """What a restart would cure, one line each; empty while all is well."""
    unready: Callable[[], list[str]]
    """What keeps the process from its work, one line each; empty when it is ready."""
    scrapers: Scrapers | None = None
    """Who may read the metrics; None where no login is asked for."""
    _scrape: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def metrics(self, request: web.Request) -> web.Response:
        if self.scrapers:
            shown = request.headers.get(hdrs.AUTHORIZATION, "")
            if refusal := await self.scrapers.refusal(shown, request.remote):
                return refusal
        accept = request.headers.get(hdrs.ACCEPT, "")
        # One at a time: each holds megabytes, and a second scraper can wait.
        async with self._scrape:
            body, content_type = await threads.for_us(exposition.expose, self.objects, accept)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def livez(self, _request: web.Request) -> web.Response:
        return _verdict(self.unhealthy())

    async def readyz(self, _request: web.Request) -> web.Response:
        return _verdict(self.unready())


@asynccontextmanager
async def serve(
    site: Site, ports: Ports, limits: Limits = _LIMITS, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Ports]:
    """Answer until the block ends; yield the ports that it got. Each port has these limits for itself.

    `tls` is for the metrics; probes come in plain.

    Raises:
        CannotListen: A port is taken or not allowed.
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
    addresses: Addresses = Addresses.ALL,
    on_prepare: OnPrepare | None = None,
    limits: Limits = _LIMITS,
) -> AsyncIterator[int]:
    """Answer on one port until the block ends; yield the port that it got.

    Raises:
        CannotListen: The port is taken or not allowed.
    """
    door = ConnectionLimiter(limits)
    app = web.Application(client_max_size=largest, middlewares=[door.watch])
    app.add_routes(routes)
    if on_prepare:
        app.on_response_prepare.append(on_prepare)
    # What aiohttp calls keep-alive holds from the moment that a connection is there.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, keepalive_timeout=limits.silence)
    await runner.setup()
    try:
        listener = _bind(port, purpose, addresses)
        async with door.open(listener, _server_of(runner), tls):
            yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


def _server_of(runner: web.AppRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the server is set up before its port is opened")
    return runner.server


def _bind(port: int, purpose: str, addresses: Addresses) -> socket.socket:
    """Take a port; on every address it is of both families where the machine has them: probes come to either."""
    try:
        if addresses is Addresses.ALL and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server((addresses.value, port))
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise CannotListen(f"cannot listen on port {port} for {purpose}: {why}") from error


def _verdict(problems: list[str]) -> web.Response:
    if problems:
        return web.Response(status=503, text="".join(f"{problem}\n" for problem in problems))
    return web.Response(text="ok\n")
