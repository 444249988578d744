"""Processes that a benchmark starts next to the operator: a slow store, hostile stores, the machine's speed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import uvloop
from aiohttp import web

from keyturn.runtime.concurrency import Tasks

_START_TIMEOUT = 30.0


@asynccontextmanager
async def _process(serve: Callable[[], None], *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    """Call a function of this module in a process until the block ends; yield what it prints."""
    code = f"from {serve.__module__} import {serve.__name__} as serve; serve()"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdin=pipe, stdout=pipe
    )
    try:
        assert process.stdout  # noqa: S101
        yield process.stdout
    finally:
        with suppress(ProcessLookupError):  # a signal to the group has ended it as well
            process.terminate()
        await process.wait()


@asynccontextmanager
async def _serving(serve: Callable[[], None], *arguments: str) -> AsyncIterator[str]:
    """Yield the address of a server, which is the first line of its output."""
    async with _process(serve, *arguments) as output:
        async with asyncio.timeout(_START_TIMEOUT):
            line = await output.readline()
        yield line.decode().strip()


# AWS Secrets Manager


def awslike(seconds: float) -> AbstractAsyncContextManager[str]:
    """Run a store with a latency until the block ends; the value of the block is its address."""
    return _serving(serve_aws, str(seconds))


def serve_aws() -> None:
    """Serve until the process ends; its first argument is the latency in seconds."""

    async def answer(request: web.BaseRequest) -> web.Response:
        asked = json.loads(await request.read())
        await asyncio.sleep(float(sys.argv[1]))  # what the network takes to a region
        if request.headers.get("X-Amz-Target") != "secretsmanager.GetSecretValue":
            return web.json_response({"__type": "ResourceNotFoundException"}, status=400)
        name = asked["SecretId"]
        body = {"ARN": name, "Name": name, "VersionId": "1" * 32, "SecretString": f"value-of-{name}" * 4}
        return web.json_response(body, content_type="application/x-amz-json-1.1")

    async def serve() -> None:
        # Without routes and on uvloop: the cores are shared, and this server is no part of what is measured.
        runner = web.ServerRunner(web.Server(answer, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        print(f"http://{host}:{port}", flush=True)
        await asyncio.Event().wait()

    uvloop.run(serve())


# Hostile stores

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_HUGE = 2**32
WAYS = ("silent", "dripping", "flooding", "failing", "nested")
"""How a store answers: never, a byte a second, endlessly, that it failed, with a document that is costly to read."""


def hostile() -> AbstractAsyncContextManager[str]:
    """Run it until the block ends; the first part of a path below its address is one of `WAYS`."""
    return _serving(serve_hostile)


async def _answer(way: str, writer: asyncio.StreamWriter) -> None:
    if way == "silent":
        await asyncio.Event().wait()
    elif way == "failing":
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    elif way == "nested":
        writer.write(_HEAD % 500_000 + b"[" * 500_000)
    else:
        part, pause = (b" ", 1.0) if way == "dripping" else (b"[" * 2**16, 0.0)
        writer.write(_HEAD % _HUGE)
        while not writer.is_closing():  # uvloop refuses to write to a client that has left
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    await writer.drain()


async def _handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        await _answer(head.split(b"/", 2)[1].decode(), writer)
    writer.close()


def serve_hostile() -> None:
    """Serve until the process ends."""

    async def serve() -> None:
        tasks = Tasks()  # a silent answer would be collected: nothing else refers to it
        server = await asyncio.start_server(
            lambda *streams: tasks.start(_handle(*streams)), "127.0.0.1", 0, backlog=1024
        )
        host, port = server.sockets[0].getsockname()[:2]
        print(f"http://{host}:{port}", flush=True)
        await server.serve_forever()

    uvloop.run(serve())


# The speed of the machine


class Speed:
    """The processor time of a fixed piece of work, sampled while a block lasted."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    @property
    def ms(self) -> float:
        """Milliseconds of processor for one piece of work, on average: less is a faster machine."""
        return statistics.fmean(self.samples) * 1000


@asynccontextmanager
async def sampled() -> AsyncIterator[Speed]:
    """Sample the machine's speed in a process of its own, which uses about 3 % of a core, until the block ends."""
    speed = Speed()

    async def read(output: asyncio.StreamReader) -> None:
        while line := await output.readline():
            speed.samples.append(float(line))

    async with _process(serve_speed) as output:
        speed.samples.append(float(await output.readline()))
        reading = asyncio.create_task(read(output))
        try:
            yield speed
        finally:
            reading.cancel()


def serve_speed() -> None:
    """Print the processor time of the fixed work until the process ends, or the one that started it."""
    record = {"name": "x" * 20, "list": list(range(50)), "nested": {str(one): one for one in range(50)}}

    async def sample() -> None:
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not ended.done():
            began = time.thread_time()
            for _ in range(40):
                text = json.dumps(record, sort_keys=True)
                hashlib.sha256(text.encode()).hexdigest()
                json.loads(text)
            print(time.thread_time() - began, flush=True)
            await asyncio.sleep(0.1)

    asyncio.run(sample())
