"""A server for stores that answers one byte a second: `dripping.py ADDRESS PORT`."""

import asyncio
import contextlib
import sys

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD)
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)
    writer.close()


async def main(address: str, port: str) -> None:
    server = await asyncio.start_server(_drip, address, int(port))
    print("listening", flush=True)  # noqa: T201  # to who has started it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
