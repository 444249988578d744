"""API servers of tests: one with scripted answers, and calls to a real one."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from keyturn.kube.client import Api, StreamTransport
from keyturn.kube.config import ApiCredentials, Connection
from keyturn.kube.session import SessionTransport, open_session
from sandbox import ControlPlane

Answer = web.Response | float
"""What a scripted server answers, or for how many seconds it says nothing."""


async def forgotten(plane: ControlPlane, meanwhile: Callable[[Path], object] = lambda _: None) -> None:
    """Let the API server forget all versions before now, and do something that no watch of it ever tells."""

    def forget() -> None:
        with plane.watch_gap() as kubeconfig:
            meanwhile(kubeconfig)

    await asyncio.to_thread(forget)


def secret(name: str, *, owner: str | None = None, **data: str) -> dict[str, Any]:
    labels = {"keyturn.dev/managed-secret": owner} if owner else {}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels},
        "stringData": data,
    }


def answer(status: int = 200, body: object = None, **headers: str) -> web.Response:
    return web.Response(
        status=status,
        text=body if isinstance(body, str) else json.dumps(body or {}),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def refused(status: int, reason: str, **headers: str) -> web.Response:
    return answer(status, {"kind": "Status", "reason": reason, "message": "no"}, **headers)


class Scripted:
    """A server that gives prepared answers in turn, the last one for ever, and remembers each request."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[web.Request] = []
        self.times: list[float] = []
        self._answers = list(answers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.times.append(asyncio.get_running_loop().time())
        await request.read()
        ours = self._next(request)
        if isinstance(ours, float):
            await asyncio.sleep(ours)
            return answer()
        return answer(
            ours.status, ours.text, **{n: v for n, v in ours.headers.items() if n != "Content-Type"}
        )

    def _next(self, request: web.Request) -> Answer:  # noqa: ARG002  # the turn decides
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class Responding(Scripted):
    """A server whose answer depends on the request."""

    def __init__(self, respond: Callable[[web.Request], Answer]) -> None:
        super().__init__()
        self._respond = respond

    def _next(self, request: web.Request) -> Answer:
        return self._respond(request)


@asynccontextmanager
async def serving(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Serve every path with `handle` at the address that is yielded."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def plain(server: str, token: str = "ours") -> Connection:  # noqa: S107  # no password
    login = ApiCredentials(f"Bearer {token}")
    return Connection(server, None, login, lambda: login)


@asynccontextmanager
async def scripted(script: Scripted, timeout: float = 30.0) -> AsyncIterator[Api]:  # noqa: ASYNC109  # of a call
    """Open an Api to a server that plays `script`."""
    async with serving(script.handle) as server, open_transport(plain(server)) as transport:
        yield Api(transport, server, timeout=timeout)


@asynccontextmanager
async def open_transport(connection: Connection) -> AsyncIterator[StreamTransport]:
    """Open the operator's transport; a test may put that of the commands in its place."""
    async with open_session(connection) as session:
        yield SessionTransport(session)
