"""How many connections a port holds, how long each may keep silent, and which one goes when another comes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp import web

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Callable

    from aiohttp.typedefs import Handler

__all__ = ["ConnectionLimiter", "Limits"]

_Greeting: TypeAlias = "asyncio.Task[None]"
_Held: TypeAlias = "_Greeting | web.RequestHandler"

_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What the clients of one port may take, all of them together."""

    connections: int = 32
    silence: float = 10.0
    """Seconds for a TLS handshake, until a whole header is there, and between two requests."""
    sending: float = 30.0
    """Seconds in which a client has to take its answer."""


class _Stage(IntEnum):
    """What a connection has to lose, the least first."""

    SILENT = 0
    """It has no whole request."""
    SENDING = 1
    WORKING = 2


class ConnectionLimiter:
    """Lets a new connection in, at the cost of the oldest silent one where the port is full.

    To refuse the new one would leave the port to whoever holds what there is; a client that sends its request at once
    is silent for a moment only. A request that is being worked on is never cut off.
    """

    def __init__(self, limits: Limits) -> None:
        """Take what the port may hold."""
        self._limits = limits
        self._held: dict[_Held, Callable[[], object]] = {}
        self._stages: dict[web.RequestHandler, _Stage] = {}
        self._moved = asyncio.Event()

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note how far a request is, and send its answer in time."""
        protocol = request.protocol
        self._stages[protocol] = _Stage.WORKING
        try:
            answer = await handler(request)
            self._move(protocol, _Stage.SENDING)
            await self._send(answer, request)
        finally:
            self._move(protocol, _Stage.SILENT)
        return answer

    async def _send(self, answer: web.StreamResponse, request: web.Request) -> None:
        try:
            async with asyncio.timeout(self._limits.sending):
                await answer.prepare(request)
                await answer.write_eof()
        except (TimeoutError, ConnectionError):
            # What is left to send fails by that, which aiohttp takes for a client that has left.
            if request.transport:
                request.transport.abort()

    def _move(self, protocol: web.RequestHandler, stage: _Stage) -> None:
        if stage is _Stage.SILENT:
            self._stages.pop(protocol, None)
        else:
            self._stages[protocol] = stage
        self._moved.set()

    @asynccontextmanager
    async def open(
        self, listener: socket.socket, server: web.Server, tls: ssl.SSLContext | None
    ) -> AsyncIterator[None]:
        """Let connections in until the block ends."""
        listener.settimeout(0)
        accepting = asyncio.create_task(self._accept(listener, server, tls))
        try:
            yield
        finally:
            accepting.cancel()
            await asyncio.wait([accepting])
            greetings = [held for held in self._held if isinstance(held, asyncio.Task)]
            for greeting in greetings:
                greeting.cancel()
            await asyncio.gather(*greetings, return_exceptions=True)
            listener.close()

    async def _accept(self, listener: socket.socket, server: web.Server, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError:
                # The client is gone again, or the process has no descriptor left: give one of ours back.
                self._send_away()
                await asyncio.sleep(_PAUSE)
                continue
            try:
                await self._room(server)
            except asyncio.CancelledError:
                connection.close()
                raise
            greeting = loop.create_task(self._greet(connection, server, tls))
            self._held[greeting] = greeting.cancel
            greeting.add_done_callback(partial(self._greeted, connection))
            # Where many wait, all of them are there at once, and the loop has other work.
            await asyncio.sleep(0)

    async def _greet(self, connection: socket.socket, server: web.Server, tls: ssl.SSLContext | None) -> None:
        try:
            transport, handler = await asyncio.get_running_loop().connect_accepted_socket(
                server, connection, ssl=tls, ssl_handshake_timeout=self._limits.silence if tls else None
            )
        except OSError:
            return
        if greeting := asyncio.current_task():
            self._held.pop(greeting, None)  # it takes one place, not two
        self._held[handler] = transport.abort

    def _greeted(self, connection: socket.socket, greeting: _Greeting) -> None:
        self._held.pop(greeting, None)
        if greeting.cancelled():
            connection.close()

    async def _room(self, server: web.Server) -> None:
        """Wait until there is room for one more, and make it where that costs no request."""
        while True:
            alive = {*server.connections, *(held for held in self._held if isinstance(held, asyncio.Task))}
            self._held = {held: end for held, end in self._held.items() if held in alive}
            if len(self._held) < self._limits.connections or self._send_away():
                return
            self._moved.clear()
            await self._moved.wait()

    def _send_away(self) -> bool:
        """Close the connection that has the least to lose, the oldest of these; say whether there was one."""
        least = min(self._held, key=self._stage, default=None)
        if least is None or self._stage(least) is _Stage.WORKING:
            return False
        self._held.pop(least)()
        return True

    def _stage(self, held: _Held) -> _Stage:
        if isinstance(held, asyncio.Task):
            return _Stage.SILENT
        return self._stages.get(held, _Stage.SILENT)
