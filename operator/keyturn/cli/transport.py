"""How a command reaches the API server: by HTTP/1.1 over asyncio's own streams, which load at once.

To load aiohttp takes a third of a short command, so it is used only for a server behind a proxy. Reasons of failures
are those of aiohttp.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from http import HTTPStatus
from time import monotonic
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from keyturn.kube import wire
from keyturn.kube.client import NoResponse, StreamTransport
from keyturn.kube.config import Connection
from keyturn.kube.wire import Call, Response
from keyturn.runtime import build

_MALFORMED: Final = "MalformedAnswer"
_PORTS: Final = {"http": 80, "https": 443}
_BUFFER: Final = 2**18
"""Bytes of the longest line, and of a part of a body."""
_MAX_FIELDS: Final = 200
"""Lines of the head of an answer."""
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


class _Pipe(NamedTuple):
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: float = 0.0
    """Monotonic time at the end of its last answer."""


class _Direct:
    """Sends calls, and keeps connections for the next ones."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._idle: list[_Pipe] = []

    def close(self) -> None:
        for pipe in self._idle:
            pipe.writer.transport.abort()

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
            pipe.writer.write(_request(call, login))
            await pipe.writer.drain()
            status, fields = await _head(pipe.reader)
            arrived, pause = monotonic(), wire.seconds(fields.get("retry-after", ""))
            async with aclosing(_body(pipe.reader, fields)) as parts:
                yield Response(status, None, pause, fields.get("date"), asked, arrived), parts
                is_reusable = fields.get("connection") != "close" and await anext(parts, None) is None
        finally:
            if is_reusable:
                self._idle.append(pipe._replace(used=monotonic()))
            else:
                pipe.writer.transport.abort()

    def _free(self) -> _Pipe | None:
        while self._idle:
            pipe = self._idle.pop()
            if monotonic() - pipe.used < _KEEP_ALIVE and not pipe.reader.at_eof():
                return pipe
            pipe.writer.transport.abort()
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
    except ValueError as error:
        raise NoResponse(_MALFORMED) from error


def _request(call: Call, login: str | None) -> bytes:
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
    lines = [
        f"{wire.METHODS[call.verb]} {target} HTTP/1.1",
        *(f"{name}: {text}" for name, text in fields.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (call.data or b"")


async def _head(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    """Read the status and the header fields of an answer (RFC 9112)."""
    version, status, *_ = (await _line(reader)).split(maxsplit=2)
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    fields = {"connection": "close"} if version == "HTTP/1.0" else {}
    for _ in range(_MAX_FIELDS):
        if not (line := await _line(reader)):
            return int(status), fields
        name, _, text = line.partition(":")
        fields[name.lower()] = text.strip()
    raise ValueError("too many fields")


async def _body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
    """Yield the parts of a body, in the frames that the header fields tell, else to the end of the connection."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await _line(reader)).partition(";")[0], 16):
            async for part in _exactly(reader, size):
                yield part
            await _line(reader)
        while await _line(reader):
            pass
    elif "content-length" in fields:
        async for part in _exactly(reader, int(fields["content-length"])):
            yield part
    else:
        while part := await reader.read(_BUFFER):
            yield part


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncGenerator[bytes, None]:
    while size > 0:
        part = await reader.read(min(size, _BUFFER))
        if not part:
            raise EOFError
        size -= len(part)
        yield part


async def _line(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode("latin-1").rstrip("\r\n")


async def _while_heard(parts: AsyncGenerator[bytes, None], quiet: float) -> AsyncGenerator[bytes, None]:
    """Yield parts, each of which arrives within `quiet` seconds."""
    while True:
        async with asyncio.timeout(quiet):
            part = await anext(parts, None)
        if part is None:
            return
        yield part
