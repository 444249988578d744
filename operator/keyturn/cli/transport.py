"""How a command reaches the API server: by h11 over asyncio's own streams, which load at once.

To load aiohttp takes a third of a short command, so it is used only for a server behind a proxy. Reasons of failures
are those of aiohttp.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from http import HTTPStatus
from time import monotonic
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import h11

from keyturn.kube import wire
from keyturn.kube.client import NoResponse, StreamTransport
from keyturn.kube.config import Connection
from keyturn.kube.wire import Call, Response
from keyturn.runtime import build

_MALFORMED: Final = "MalformedAnswer"
_PORTS: Final = {"http": 80, "https": 443}
_BUFFER: Final = 2**18
"""Bytes of the longest head, and of a part of a body."""
_KEEP_ALIVE: Final = 30.0
"""Seconds after which a server or a device before it may have closed an idle connection."""
_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TimeoutError, "Timeout"),
    (ssl.SSLCertVerificationError, "ClientConnectorCertificateError"),
    (ssl.SSLError, "ClientConnectorSSLError"),
    (socket.gaierror, "ClientConnectorDNSError"),
    (OSError, "ClientConnectorError"),
)
"""Why no connection is opened; the first that fits."""

_Answer: TypeAlias = tuple[Response, AsyncGenerator[bytes, None]]
"""An answer with its head, and the parts of its body."""


@asynccontextmanager
async def transport_of(connection: Connection) -> AsyncIterator[StreamTransport]:
    """Open the transport to an API server."""
    if connection.proxy is not None:
        from keyturn.kube.session import SessionTransport, open_session  # noqa: PLC0415  # aiohttp is slow to load

        async with open_session(connection) as session:
            yield SessionTransport(session)
        return
    direct = _Direct(connection)
    try:
        yield direct
    finally:
        direct.close()


class _Pipe:
    """An open connection, on which answers follow each other (RFC 9112)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_BUFFER)
        self._used = monotonic()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def ask(self, call: Call, login: str | None) -> h11.Response:
        """Send a call; return the head of its answer."""
        request, data = _request(call, login), h11.Data(call.data or b"")
        self._writer.write(b"".join(map(self._send, (request, data, h11.EndOfMessage()))))
        await self._writer.drain()
        while True:
            match await self._next():
                case h11.Response() as head:
                    return head
                case h11.InformationalResponse():
                    pass
                case _:
                    raise EOFError

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the parts of the body."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    def finish(self) -> bool:
        """Finish an answer; return whether it was read to its end, so that another call may follow."""
        if {self._http.our_state, self._http.their_state} != {h11.DONE}:
            return False
        self._http.start_next_cycle()
        self._used = monotonic()
        return True

    def is_open(self) -> bool:
        """Whether the connection has been idle for a short time, and the server has not closed it."""
        return monotonic() - self._used < _KEEP_ALIVE and not self._reader.at_eof()

    def _send(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(_BUFFER)
            self._http.receive_data(data)
            if not data:  # the end of a body without a length, or too early
                try:
                    return self._http.next_event()
                except h11.RemoteProtocolError:
                    raise EOFError from None
        return event


class _Direct:
    """Sends calls, and keeps connections for the next ones."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._idle: list[_Pipe] = []

    def close(self) -> None:
        for pipe in self._idle:
            pipe.abort()

    async def send(self, call: Call, until: float) -> Response:  # noqa: ARG002  # no command has a leader fence
        with _failures():
            async with self._open(call) as (response, parts):
                body = bytearray()
                async for part in parts:
                    body += part
                    if len(body) > call.most:
                        return response
                return response._replace(body=bytes(body))

    @asynccontextmanager
    async def stream(
        self, call: Call, connect: float, quiet: float
    ) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        with _failures():
            async with asyncio.timeout(min(connect, quiet)) as limit, self._open(call) as (response, parts):
                is_refused = response.status != HTTPStatus.OK
                body = b"".join([part async for part in parts]) if is_refused else None
                limit.reschedule(None)
                yield response._replace(body=body), _while_heard(parts, quiet)

    @asynccontextmanager
    async def _open(self, call: Call) -> AsyncIterator[_Answer]:
        """Send a call; if its credentials are rejected and others can be had, send it once more."""
        login = await self._connection.authorization()
        async with self._once(call, login) as answer:
            another = None
            if answer[0].status == HTTPStatus.UNAUTHORIZED:
                another = await self._connection.authorization_instead_of(login)
            if another is None:
                yield answer
                return
        async with self._once(call, another) as answer:
            yield answer

    @asynccontextmanager
    async def _once(self, call: Call, login: str | None) -> AsyncIterator[_Answer]:
        pipe, is_reusable = self._free() or await self._connect(), False
        try:
            asked = monotonic()
            head = await pipe.ask(call, login)
            arrived = monotonic()
            fields = {name.decode(): text.decode("latin-1") for name, text in head.headers}
            pause = wire.seconds(fields.get("retry-after", ""))
            async with aclosing(pipe.parts()) as parts:
                yield Response(head.status_code, None, pause, fields.get("date"), asked, arrived), parts
            is_reusable = pipe.finish()
        finally:
            if is_reusable:
                self._idle.append(pipe)
            else:
                pipe.abort()

    def _free(self) -> _Pipe | None:
        while self._idle:
            if (pipe := self._idle.pop()).is_open():
                return pipe
            pipe.abort()
        return None

    async def _connect(self) -> _Pipe:
        server, tls = urlsplit(self._connection.server), self._connection.tls
        if server.scheme not in _PORTS:
            raise NoResponse("NonHttpUrlClientError")
        try:
            return _Pipe(
                *await asyncio.open_connection(
                    server.hostname,
                    server.port or _PORTS[server.scheme],
                    ssl=tls,
                    server_hostname=(self._connection.server_name or server.hostname) if tls else None,
                    limit=_BUFFER,
                )
            )
        except OSError as error:
            raise NoResponse(next(name for kind, name in _REASONS if isinstance(error, kind))) from error


@contextmanager
def _failures() -> Iterator[None]:
    """Name the reasons why an answer is none, or ends too early."""
    try:
        yield
    except EOFError as error:
        raise NoResponse("ServerDisconnectedError") from error
    except h11.ProtocolError as error:
        raise NoResponse(_MALFORMED) from error


def _request(call: Call, login: str | None) -> h11.Request:
    url = urlsplit(call.url)
    fields = {
        "Host": url.netloc.rpartition("@")[2],
        "User-Agent": build.user_agent(),
        "Accept-Encoding": "identity",  # the server is near, so it need not compress
        **call.headers,
        **({"Authorization": login} if login else {}),
        **({"Content-Length": str(len(call.data))} if call.data else {}),
    }
    target = url._replace(scheme="", netloc="").geturl()
    return h11.Request(method=wire.METHODS[call.verb], target=target, headers=[*fields.items()])


async def _while_heard(parts: AsyncGenerator[bytes, None], quiet: float) -> AsyncGenerator[bytes, None]:
    """Yield parts, each of which arrives within `quiet` seconds."""
    while True:
        async with asyncio.timeout(quiet):
            part = await anext(parts, None)
        if part is None:
            return
        yield part
