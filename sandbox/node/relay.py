"""Relay of connections between node and machine, without a network between them.

A socket in the file system can be reached from every network namespace. One of these runs on either side, as a script
with the standard library only; an argument is `FROM=TO`, each a path of such a socket or `ADDRESS:PORT`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_CHUNK = 65_536
_ENDINGS = (OSError, asyncio.IncompleteReadError)


async def _listen(route: str) -> asyncio.Server:
    source, target = route.split("=", 1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _relay(reader, writer, target)

    if "/" in source:
        return await asyncio.start_unix_server(serve, source)
    host, port = source.rsplit(":", 1)
    return await asyncio.start_server(serve, host, int(port))


async def _connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if "/" in target:
        return await asyncio.open_unix_connection(target)
    host, port = target.rsplit(":", 1)
    return await asyncio.open_connection(host, int(port))


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> None:
    try:
        far_reader, far_writer = await _connect(target)
    except OSError:
        writer.transport.abort()  # a reset, as from a port that is closed
        return
    try:
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
    except _ENDINGS:
        far_writer.transport.abort()
        writer.transport.abort()
    finally:
        for each in (far_writer, writer):
            each.close()
            with contextlib.suppress(*_ENDINGS):
                await each.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()  # the other direction may have more to say


async def main(routes: list[str]) -> None:
    """Relay until this process is ended."""
    async with contextlib.AsyncExitStack() as stack:
        for route in routes:
            await stack.enter_async_context(await _listen(route))
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1:]))
