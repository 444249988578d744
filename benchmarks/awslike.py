"""Fake AWS Secrets Manager with a fixed latency: `python -m benchmarks.awslike SECONDS`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from .serving import serving

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = ["awslike"]

_TARGET = "secretsmanager.GetSecretValue"


def awslike(seconds: float) -> AbstractAsyncContextManager[str]:
    """Run it until the block ends; the value of the block is its address."""
    return serving("benchmarks.awslike", str(seconds))


async def _serve(seconds: float) -> None:
    """Tell every secret by its name; of a value that is asked for again it gives the same."""

    async def answer(request: web.BaseRequest) -> web.Response:
        asked = json.loads(await request.read())
        await asyncio.sleep(seconds)  # what the network takes to a region
        if request.headers.get("X-Amz-Target") != _TARGET:
            return web.json_response({"__type": "ResourceNotFoundException"}, status=400)
        name = asked["SecretId"]
        body = {"ARN": name, "Name": name, "VersionId": "1" * 32, "SecretString": f"value-of-{name}" * 4}
        return web.json_response(body, content_type="application/x-amz-json-1.1")

    # Without routes and on uvloop: what this server takes of the machine's cores is no part of what is measured.
    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(float(sys.argv[1])))
