"""Connections of a server: how many a port takes, how long one is idle, which one closes, and the certificate."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeAlias

import structlog
from aiohttp import StreamReader, web
from aiohttp.typedefs import Handler

from keyturn.runtime.tls import server_context

_Greeting: TypeAlias = "asyncio.Task[None]"
_Held: TypeAlias = "_Greeting | web.RequestHandler"

_RETRY_DELAY: Final = 0.1


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Limits of one port, for all clients together."""

    connections: int = 32
    silence: float = 10.0
    """Seconds for a TLS handshake, for a whole header, and between two requests."""
    sending: float = 30.0
    """Seconds in which a client has to read a response."""


class _Stage(IntEnum):
    """What a connection would lose if closed, the least first."""

    SILENT = 0
    """No complete header yet."""
    RECEIVING = 1
    """No complete body yet."""
    SENDING = 2
    WORKING = 3


class ConnectionLimiter:
    """Admits new connections; on a full port the oldest idle one closes.

    Rejecting the new one instead would leave the port to clients that only hold connections; a client that sends its
    request at once is idle for a moment. A connection whose complete request is in progress is never closed.
    """

    def __init__(self, limits: PortLimits) -> None:
        """`limits` are those of the port."""
        self._limits = limits
        self._held: dict[_Held, Callable[[], object]] = {}
        self._under_way: dict[web.RequestHandler, tuple[_Stage, StreamReader]] = {}
        """Requests in progress: their stage and body."""
        self._moved = asyncio.Event()

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record the progress of a request, and send its response within the time limit."""
        self._move(request, _Stage.WORKING)
        try:
            answer = await handler(request)
            self._move(request, _Stage.SENDING)
            await self._send(answer, request)
        except ConnectionError:
            if request.content.exception() is None:
                raise
            # The connection has ended within the body, which is no error of the handler.
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        finally:
            self._move(request, _Stage.SILENT)
        return answer

    async def _send(self, answer: web.StreamResponse, request: web.Request) -> None:
        try:
            async with asyncio.timeout(self._limits.sending):
                await answer.prepare(request)
                await answer.write_eof()
        except (TimeoutError, ConnectionError):
            # Aborts the response; aiohttp treats that as a client disconnect.
            if request.transport:
                request.transport.abort()

    def _move(self, request: web.Request, stage: _Stage) -> None:
        if stage is _Stage.SILENT:
            self._under_way.pop(request.protocol, None)
        else:
            self._under_way[request.protocol] = stage, request.content
        self._moved.set()

    @asynccontextmanager
    async def open(
        self, listener: socket.socket, server: web.Server, tls: ssl.SSLContext | None
    ) -> AsyncIterator[None]:
        """Accept connections until the block ends."""
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
                # The client is gone again, or the process has no file descriptor left: close one connection.
                self._send_away()
                await asyncio.sleep(_RETRY_DELAY)
                continue
            try:
                await self._room(server)
            except asyncio.CancelledError:
                connection.close()
                raise
            greeting = loop.create_task(self._greet(connection, server, tls))
            self._held[greeting] = greeting.cancel
            greeting.add_done_callback(partial(self._greeted, connection))
            # Under load all are ready at once; let other tasks run.
            await asyncio.sleep(0)

    async def _greet(self, connection: socket.socket, server: web.Server, tls: ssl.SSLContext | None) -> None:
        try:
            transport, handler = await asyncio.get_running_loop().connect_accepted_socket(
                server, connection, ssl=tls, ssl_handshake_timeout=self._limits.silence if tls else None
            )
        except OSError:
            return
        if greeting := asyncio.current_task():
            self._held.pop(greeting, None)  # count it once
        self._held[handler] = transport.abort

    def _greeted(self, connection: socket.socket, greeting: _Greeting) -> None:
        self._held.pop(greeting, None)
        if greeting.cancelled():
            connection.close()

    async def _room(self, server: web.Server) -> None:
        """Wait for a free place, or close a connection without a complete request."""
        while True:
            alive = {*server.connections, *(held for held in self._held if isinstance(held, asyncio.Task))}
            self._held = {held: end for held, end in self._held.items() if held in alive}
            if len(self._held) < self._limits.connections or self._send_away():
                return
            self._moved.clear()
            await self._moved.wait()

    def _send_away(self) -> bool:
        """Close the oldest connection with the least to lose; return whether there was one."""
        least = min(self._held, key=self._stage, default=None)
        if least is None or self._stage(least) is _Stage.WORKING:
            return False
        self._held.pop(least)()
        return True

    def _stage(self, held: _Held) -> _Stage:
        if isinstance(held, asyncio.Task) or held not in self._under_way:
            return _Stage.SILENT
        stage, body = self._under_way[held]
        return stage if stage is _Stage.SENDING or body.is_eof() else _Stage.RECEIVING


_RELOAD_INTERVAL: Final = 60.0

_log = structlog.get_logger()


class CannotServe(Exception):  # noqa: N818  # it says what happened
    """Files of a server cannot be used; the message says what to change."""


@dataclass(slots=True)
class ServerTls:
    """A certificate and its key, from files that are renewed from outside."""

    certificate: Path
    key: Path
    name: str
    """The server that it is for, and the prefix of its options, such as `metrics`."""
    context: ssl.SSLContext = field(init=False, default_factory=server_context)
    _loaded: tuple[tuple[int, int] | None, ...] | None = field(init=False, default=None)
    """The files at the last load that succeeded."""

    def __post_init__(self) -> None:
        """Read both files.

        Raises:
            CannotServe: They are invalid.
        """
        self.refresh()

    def refresh(self) -> bool:
        """Reload the files if they have changed, and return whether they had.

        Raises:
            CannotServe: The new files are invalid; the old ones stay in use.
        """
        now = _stamp(self.certificate), _stamp(self.key)
        if now == self._loaded:
            return False
        self._load()
        self._loaded = now
        return True

    async def keep(self) -> None:
        """Reload the files when they change, until cancelled."""
        trouble = ""
        while True:
            await asyncio.sleep(_RELOAD_INTERVAL)
            before, trouble = trouble, ""
            try:
                if self.refresh():
                    _log.info("certificate reloaded", server=self.name)
            except CannotServe as error:
                trouble = str(error)
                if trouble != before:
                    _log.warning("certificate not reloaded", server=self.name, reason=trouble)

    def _load(self) -> None:
        try:
            # A load that fails can leave a context without its key.
            for context in (server_context(), self.context):
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError):
            raise CannotServe(
                f"--{self.name}-cert and --{self.name}-key must be readable PEM files, and the key must fit"
            ) from None


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino
