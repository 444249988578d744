"""Fake AWS Secrets Manager with a fixed latency, whose values can change."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from aiohttp import web

from .serving import serving

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

_TARGET = "secretsmanager.GetSecretValue"
_CHANGE = "/change"


def awslike(seconds: float) -> AbstractAsyncContextManager[str]:
    """Run it until the block ends; the value of the block is its address."""
    return serving(__name__, str(seconds))


def serve() -> None:
    """Serve until the process ends; its first argument is the latency in seconds."""
    uvloop.run(_serve(float(sys.argv[1])))


async def change_values(address: str) -> int:
    """Change every value of the store at this address; return the number of the new version."""
    async with aiohttp.ClientSession() as session, session.post(address + _CHANGE) as answer:
        return int(await answer.text())


def value_of(name: str, version: int) -> str:
    return f"value-{version}-of-{name}" * 4


class _Store:
    """Every secret by its name; a value that is requested again is the same until all change."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._version = 1

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if request.path == _CHANGE:
            self._version += 1
            return web.Response(text=str(self._version))
        asked = json.loads(await request.read())
        await asyncio.sleep(self._seconds)  # what the network takes to a region
        if request.headers.get("X-Amz-Target") != _TARGET:
            return web.json_response({"__type": "ResourceNotFoundException"}, status=400)
        name = asked["SecretId"]
        value, version = value_of(name, self._version), f"{self._version:032}"
        body = {"ARN": name, "Name": name, "VersionId": version, "SecretString": value}
        return web.json_response(body, content_type="application/x-amz-json-1.1")


async def _serve(seconds: float) -> None:
    # Without routes and on uvloop: what this server takes of the machine's cores is no part of what is measured.
    runner = web.ServerRunner(web.Server(_Store(seconds).answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()
