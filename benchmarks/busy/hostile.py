"""A server of hostile stores; the first part of a path is how it answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import uvloop

from benchmarks.serving import serving
from keyturn.runtime.concurrency import Tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_HUGE = 2**32
_PART = b"[" * 2**16
_PAUSE = 1.0
_BACKLOG = 1024


async def _silent(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def _dripping(writer: asyncio.StreamWriter) -> None:
    """Answer a byte a second."""
    writer.write(_HEAD % _HUGE)
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(_PAUSE)


async def _flooding(writer: asyncio.StreamWriter) -> None:
    """Answer as much as the client reads."""
    writer.write(_HEAD % _HUGE)
    while not writer.is_closing():  # uvloop refuses to write to a client that has left
        writer.write(_PART)
        await writer.drain()


async def _failing(writer: asyncio.StreamWriter) -> None:
    """Answer at once that it failed."""
    writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def _nested(writer: asyncio.StreamWriter) -> None:
    """Answer a document that costs most to read: as deep and as long as a client may take."""
    body = b"[" * 500_000
    writer.write(_HEAD % len(body) + body)
    await writer.drain()


_ANSWERS: Mapping[bytes, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {
    b"silent": _silent,
    b"dripping": _dripping,
    b"flooding": _flooding,
    b"failing": _failing,
    b"nested": _nested,
}
WAYS = tuple(way.decode() for way in _ANSWERS)


def hostile() -> AbstractAsyncContextManager[str]:
    """Run it until the block ends; the value of the block is its address."""
    return serving(__name__)


def serve() -> None:
    """Serve until the process ends."""
    uvloop.run(_serve())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        await _ANSWERS[head.split(b"/", 2)[1]](writer)
    writer.close()


async def _serve() -> None:
    tasks = Tasks()  # a silent answer would be collected: nothing else refers to it

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.start(_answer(reader, writer))

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=_BACKLOG)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()
