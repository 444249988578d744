import asyncio
import ssl
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import orjson
import yaml
from aiohttp import web
from yarl import URL

from sandbox.pki import Authority, write_private
from tests.faults.apiserver import Cluster, state_of, values_of
from tests.faults.namespace import digest, revisions

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request on its way to the API server."""

    method: str
    path: str
    query: str
    body: bytes
    request: web.Request

    @property
    def is_watch(self) -> bool:
        return "watch=" in self.query

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def name(self) -> str:
        """The object's name, which a POST has in its body only."""
        if self.method == "POST":
            return str(orjson.loads(self.body)["metadata"].get("name"))
        return self.path.rpartition("/")[2]


Forward: TypeAlias = "Callable[[], Awaitable[web.StreamResponse]]"
Act: TypeAlias = "Callable[[Asked, Forward], Awaitable[web.StreamResponse]]"


@dataclass(slots=True)
class Rule:
    """What is done to requests of one kind, and how many times."""

    matches: Callable[[Asked], bool]
    act: Act
    times: int = 1
    hits: int = field(default=0, init=False)

    def takes(self, asked: Asked) -> bool:
        if self.hits >= self.times or not self.matches(asked):
            return False
        self.hits += 1
        return True


def refuse(status: int, reason: str, **headers: str) -> Act:
    """Answer as an API server that does not do it."""

    async def act(_asked: Asked, _forward: Forward) -> web.StreamResponse:
        body = {
            "kind": "Status",
            "status": "Failure",
            "code": status,
            "reason": reason,
            "message": "injected",
        }
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return act


def end_watch(code: int, reason: str) -> Act:
    """End a watch with an event: 410 for an unknown resourceVersion, 500 for an error of etcd."""
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "injected"}

    async def act(_asked: Asked, _forward: Forward) -> web.StreamResponse:
        return web.json_response({"type": "ERROR", "object": status}, dumps=lambda body: f"{_json(body)}\n")

    return act


async def drop(asked: Asked, _forward: Forward) -> web.StreamResponse:
    """Cut the connection before the API server hears of it."""
    return _cut(asked.request)


async def lose(asked: Asked, forward: Forward) -> web.StreamResponse:
    """Let the API server do it, and cut the connection before it can say so."""
    await forward()
    return _cut(asked.request)


def delay(seconds: float) -> Act:
    """Let the API server do it, late."""

    async def act(_asked: Asked, forward: Forward) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await forward()

    return act


class FaultProxy:
    """Stands before the API server with a certificate of its own, and goes wrong as it is told."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.rules: list[Rule] = []
        self.stored: defaultdict[str, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        """By Secret and revision, the digests of every set of values that the API server has taken."""
        self.is_hung: Callable[[Asked], bool] = lambda _: False
        """The watches that pass on nothing, not even their end."""
        self.ahead = timedelta(0)
        """How far the clock of the API server is made to seem ahead."""
        self._plane = cluster.plane
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._authority = Authority.new("fault-proxy")
        self._port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._await(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def kubeconfig(self, account: Path) -> Path:
        """Write a kubeconfig that goes through here, for an account of the API server."""
        content = yaml.safe_load(account.read_text())
        authority = self._folder / "fault-proxy-ca.crt"
        authority.write_bytes(self._authority.pair.certificate)
        content["clusters"][0]["cluster"] = {
            "server": f"https://127.0.0.1:{self._port}",
            "certificate-authority": str(authority),
        }
        path = self._folder / f"proxied-{account.name}"
        write_private(path, yaml.safe_dump(content).encode())
        return path

    def rule(self, matches: Callable[[Asked], bool], act: Act, times: int = 1) -> Rule:
        rule = Rule(matches, act, times)
        self.rules.append(rule)
        return rule

    def cut_all(self) -> None:
        """Cut every watch that is open."""
        self._loop.call_soon_threadsafe(lambda: [_cut(request) for request in list(self._watches.values())])

    def _await(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _open(self) -> None:
        self._watches: dict[int, web.Request] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=ssl.create_default_context(cafile=str(self._plane.ca_file))
            ),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(),
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls())
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _tls(self) -> ssl.SSLContext:
        self._authority.issue("fault-proxy", names=["127.0.0.1"]).write(self._folder, "fault-proxy")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._folder / "fault-proxy.crt", self._folder / "fault-proxy.key")
        return context

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(request.method, request.path, request.query_string, await request.read(), request)
        rule = next((rule for rule in self.rules if rule.takes(asked)), None)
        try:
            if rule is not None:
                return await rule.act(asked, lambda: self._forward(asked))
            return await self._forward(asked)
        except (aiohttp.ClientError, ConnectionError):
            return _cut(request)

    async def _forward(self, asked: Asked) -> web.StreamResponse:
        headers = {
            name: text for name, text in asked.request.headers.items() if name.lower() not in _HOP | {"host"}
        }
        url = URL(f"{self._plane.server}{asked.request.raw_path}", encoded=True)
        async with self._session.request(
            asked.method, url, data=asked.body or None, headers=headers, allow_redirects=False
        ) as answer:
            if answer.ok and asked.is_write:
                self._note(asked)
            if asked.is_watch:
                return await self._stream(asked, answer)
            return web.Response(status=answer.status, body=await answer.read(), headers=self._headers(answer))

    async def _stream(self, asked: Asked, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=self._headers(answer))
        await response.prepare(asked.request)
        self._watches[id(asked)] = asked.request
        try:
            async for chunk in answer.content.iter_any():
                await self._while_hung(asked)
                await response.write(chunk)
            await self._while_hung(asked)
        finally:
            del self._watches[id(asked)]
        return response

    async def _while_hung(self, asked: Asked) -> None:
        while self.is_hung(asked) and asked.request.transport is not None:  # noqa: ASYNC110 - the test says when
            await asyncio.sleep(0.05)

    def _headers(self, answer: aiohttp.ClientResponse) -> dict[str, str]:
        headers = {name: text for name, text in answer.headers.items() if name.lower() not in _HOP}
        if self.ahead:
            headers["Date"] = format_datetime(
                parsedate_to_datetime(headers["Date"]) + self.ahead, usegmt=True
            )
        return headers

    def _note(self, asked: Asked) -> None:
        """Remember which values the API server took for which revision."""
        parts = asked.path.split("/")
        if "secrets" not in parts or asked.method not in {"POST", "PUT"}:
            return
        secret = orjson.loads(asked.body)
        key = f"{parts[4]}/{asked.name}"
        if asked.name.endswith("-keyturn"):
            for number, values in revisions(state_of(secret)):
                self.stored[key][number].add(str(sorted(values.items())))
        else:
            number = int(secret["metadata"]["annotations"]["keyturn.dev/revision"])
            values = {name: digest(value) for name, value in values_of(secret).items()}
            self.stored[key][number].add(str(sorted(values.items())))


def _json(body: object) -> str:
    return orjson.dumps(body).decode()


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)
