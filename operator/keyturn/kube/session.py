"""The operator's transport: a session of aiohttp that authenticates each request, with a fence around each write."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from math import inf
from time import monotonic
from typing import Final

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from keyturn.runtime import build
from keyturn.runtime.clock import loop_time

from . import wire
from .client import NoResponse
from .config import Connection
from .wire import Call, Response

_AUTHORIZATION: Final = "Authorization"
_KEEP_ALIVE: Final = 30.0
_READ_BUFFER: Final = 2**18
"""Bytes. Lists arrive in large chunks, and each pause of the transport costs an iteration of the event loop."""
_UNTIMED: Final = aiohttp.ClientTimeout()
"""Each call has one timeout of its own, so aiohttp's are off."""


class SessionTransport:
    """Sends calls over a session, which the caller opens and closes, and which adds the credentials."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, call: Call, until: float) -> Response:
        try:
            asked = monotonic()
            async with self._open(call, _UNTIMED, until) as response:
                arrived = monotonic()
                return (await _response(response, call.most))._replace(asked=asked, arrived=arrived)
        except aiohttp.ClientError as error:
            raise NoResponse(type(error).__name__) from error

    @asynccontextmanager
    async def stream(
        self, call: Call, connect: float, quiet: float
    ) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        timeout = aiohttp.ClientTimeout(sock_connect=connect, sock_read=quiet)
        try:
            async with self._open(call, timeout) as response:
                is_open = response.status == HTTPStatus.OK
                answer = Response(response.status, None) if is_open else await _response(response)
                yield answer, response.content.iter_any()
        except aiohttp.ClientError as error:
            raise NoResponse(type(error).__name__) from error

    def _open(
        self, call: Call, timeout: aiohttp.ClientTimeout, until: float = inf
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            wire.METHODS[call.verb],
            URL(call.url, encoded=True),
            data=call.data and FencedBody(call.data, lambda: until),
            headers=call.headers,
            allow_redirects=False,
            timeout=timeout,
        )


async def _response(response: aiohttp.ClientResponse, most: float = inf) -> Response:
    headers = response.headers
    retry_after = wire.seconds(headers.get("Retry-After", ""))
    return Response(response.status, await _read(response, most), retry_after, headers.get("Date"))


async def _read(response: aiohttp.ClientResponse, most: float) -> bytes | None:
    """Read an answer; None if it exceeds `most` bytes, and the rest is not read."""
    if most == inf:
        return await response.read()
    parts, size = list[bytes](), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            response.close()
            return None
    return b"".join(parts)


class FencedBody(aiohttp.BytesPayload):
    """Request body that is not sent after the loop time that `until` returns by then."""

    def __init__(self, data: bytes, until: Callable[[], float]) -> None:
        super().__init__(data)
        self._until = until

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # There is no await between this check and the socket; a request without its body is not executed.
        if loop_time() >= self._until():
            raise TimeoutError
        await super().write_with_length(writer, content_length)


def open_session(
    connection: Connection,
    *middlewares: aiohttp.ClientMiddlewareType,
    limit: int = 0,
    answers: type[aiohttp.ClientResponse] = aiohttp.ClientResponse,
) -> aiohttp.ClientSession:
    """Open a session that authenticates each request, also for libraries without authentication, such as kopf.

    `limit` bounds its connections, 0 does not. Each watch occupies one connection permanently.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=limit, ssl=connection.tls or True, keepalive_timeout=_KEEP_ALIVE
        ),
        # The server is near and its CPU is the bottleneck, so it need not compress.
        headers={"User-Agent": build.user_agent(), "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        json_serialize_bytes=orjson.dumps,
        middlewares=(*middlewares, _signing(connection)),
        proxy=connection.proxy,
        read_bufsize=_READ_BUFFER,
        response_class=answers,
    )


def _signing(connection: Connection) -> aiohttp.ClientMiddlewareType:
    """Return the middleware that authenticates requests to the API server's origin, and not after a redirect."""
    origin = _origin(URL(connection.server, encoded=True))

    async def sign(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if _origin(request.url) != origin:
            return await handler(request)
        request.server_hostname = connection.server_name
        header = await connection.authorization()
        if header is not None:
            request.headers[_AUTHORIZATION] = header
        response = await handler(request)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        another = await connection.authorization_instead_of(header)
        if another is None:
            return response
        response.close()
        request.headers[_AUTHORIZATION] = another
        return await handler(request)

    return sign


def _origin(url: URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port; the case of a host means nothing, and some clients keep it."""
    return url.scheme, (url.raw_host or "").lower(), url.port
