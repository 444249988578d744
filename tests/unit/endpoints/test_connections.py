"""What a port does with clients that hold connections and ask for nothing."""

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from keyturn.endpoints import connections
from keyturn.endpoints.connections import CannotServe, PortLimits, ServerTls
from keyturn.endpoints.server import Ports, Site, listen, serve
from sandbox.harness import until
from sandbox.pki import Authority

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

HALF = b"GET /metrics HTTP/1.1\r\nHost: keyturn\r\nX-Slow: "
WHOLE = b"GET / HTTP/1.1\r\nHost: keyturn\r\n\r\n"
PATIENT = PortLimits(connections=4, silence=3600, sending=3600)
SITE = Site(objects=tuple, unhealthy=list, unready=list)
WITHIN = 60
_FEW = 256
"""Descriptors of a process: fewer than clients that come to it."""

SERVER = """
import asyncio
from keyturn.endpoints.server import Ports, Site, serve

async def main():
    async with serve(Site(objects=tuple, unhealthy=list, unready=list), Ports(0, 0)) as ports:
        print(ports.metrics, ports.health, flush=True)
        await asyncio.Event().wait()

RUNNER.run(main())
"""


class Clients:
    """Clients that send what they send and then keep still."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []

    async def come(self, port: int, sends: bytes, tls: ssl.SSLContext | None = None) -> Stream:
        stream = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        self._streams.append(stream)
        stream[1].write(sends)
        return stream

    async def go(self) -> None:
        for _, writer in self._streams:
            writer.transport.abort()
        await asyncio.sleep(0)


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    some = Clients()
    yield some
    await some.go()


async def ended(stream: Stream) -> bool:
    """Wait until the server has closed it."""
    async with asyncio.timeout(WITHIN):
        try:
            while await stream[0].read(65536):
                pass
        except ConnectionError:
            pass
        return True


async def status(port: int, path: str) -> int:
    limit = aiohttp.ClientTimeout(total=WITHIN)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status


@pytest.mark.parametrize("sent", [b"", HALF], ids=["nothing", "half a header"])
async def test_a_connection_without_a_whole_header_is_closed(clients: Clients, sent: bytes) -> None:
    async with serve(SITE, Ports(0, 0), PortLimits(silence=0.1)) as ports:
        assert await ended(await clients.come(ports.metrics, sent))


async def test_a_connection_is_closed_that_asks_for_nothing_more(clients: Clients) -> None:
    async with serve(SITE, Ports(0, 0), PortLimits(silence=0.1)) as ports:
        assert await ended(await clients.come(ports.health, WHOLE))


async def test_a_handshake_that_does_not_end_is_closed(clients: Clients, tmp_path: Path) -> None:
    async with listen([], 0, "a test", tls=certified(tmp_path), limits=PortLimits(silence=0.1)) as port:
        assert await ended(await clients.come(port, b""))


async def test_a_full_port_lets_the_next_one_in_for_the_oldest_silent_one(clients: Clients) -> None:
    async with serve(SITE, Ports(0, 0), PATIENT) as ports:
        first = await clients.come(ports.metrics, HALF)
        for _ in range(PATIENT.connections - 1):
            await clients.come(ports.metrics, HALF)
        assert (await status(ports.metrics, "/metrics"), await ended(first)) == (200, True)


async def test_half_handshakes_fill_no_port(clients: Clients, tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    async with listen([web.get("/", answer)], 0, "a test", tls=certified(tmp_path), limits=PATIENT) as port:
        first, *_ = [await clients.come(port, b"") for _ in range(PATIENT.connections + 1)]
        trusting = ssl.create_default_context(cafile=tmp_path / "ca.crt")
        trusting.check_hostname = False
        reader, _ = await clients.come(port, WHOLE, trusting)
        async with asyncio.timeout(WITHIN):
            line = await reader.readline()
        assert (line, await ended(first)) == (b"HTTP/1.1 200 OK\r\n", True)


async def test_a_request_that_is_worked_on_keeps_its_place(clients: Clients) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        begun.set()
        await release.wait()
        return web.Response()

    limits = PortLimits(connections=2, silence=3600)
    async with listen([web.get("/", answer)], 0, "a test", limits=limits) as port:
        reader, _ = await clients.come(port, WHOLE)
        await begun.wait()
        gone = [await clients.come(port, HALF) for _ in range(4)]
        async with asyncio.timeout(WITHIN):
            assert [await ended(one) for one in gone[:3]] == [True] * 3
            release.set()
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


BODY = b"POST / HTTP/1.1\r\nHost: keyturn\r\nContent-Length: 2\r\n\r\n"


@asynccontextmanager
async def reading(limits: PortLimits) -> AsyncIterator[tuple[int, asyncio.Semaphore]]:
    """Serve a handler that waits for bodies; yield its port, and how many it waits for."""
    waiting = asyncio.Semaphore(0)

    async def read(request: web.Request) -> web.Response:
        waiting.release()
        return web.Response(body=await request.read())

    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    routes = [web.post("/", read), web.get("/", answer)]
    async with listen(routes, 0, "a test", limits=limits) as port:
        yield port, waiting


async def test_requests_without_a_whole_body_fill_no_port(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    async with reading(PortLimits(connections=32, silence=3600)) as (port, waiting), asyncio.timeout(WITHIN):
        some = [await clients.come(port, BODY + b"a") for _ in range(32)]
        for _ in some:
            await waiting.acquire()
        answered = await status(port, "/")
        first = await some[0][0].read()

    assert (answered, first) == (200, b"")
    assert caplog.records == []


async def test_half_a_body_keeps_its_place_while_there_are_half_headers(clients: Clients) -> None:
    async with reading(PortLimits(connections=4, silence=3600)) as (port, waiting), asyncio.timeout(WITHIN):
        reader, writer = await clients.come(port, BODY + b"a")
        await waiting.acquire()
        half = [await clients.come(port, HALF) for _ in range(40)]
        assert [await ended(one) for one in half[:37]] == [True] * 37
        writer.write(b"b")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_who_comes_while_all_are_worked_on_waits(clients: Clients) -> None:
    begun, release = asyncio.Semaphore(0), asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        begun.release()
        await release.wait()
        return web.Response()

    async with listen([web.get("/", answer)], 0, "a test", limits=PortLimits(connections=1)) as port:
        await clients.come(port, WHOLE)
        await begun.acquire()
        reader, _ = await clients.come(port, WHOLE)
        release.set()
        async with asyncio.timeout(WITHIN):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_an_answer_that_is_not_taken_ends_with_its_connection(clients: Clients) -> None:
    lost = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        assert request.task
        request.task.add_done_callback(lambda _: lost.set())
        return web.Response(body=bytes(64 * 1024 * 1024))

    async with listen([web.get("/", answer)], 0, "a test", limits=PortLimits(sending=0.1)) as port:
        await clients.come(port, WHOLE)
        async with asyncio.timeout(WITHIN):
            assert await lost.wait()


@pytest.mark.parametrize("runner", ["asyncio", "uvloop"])
async def test_probes_are_answered_while_more_come_than_there_are_descriptors(
    clients: Clients, runner: str
) -> None:
    async with process(runner) as ports:
        for _ in range(2 * _FEW):
            await clients.come(ports.metrics, HALF)
        answers = {path: await status(ports.health, path) for path in ("/livez", "/readyz")}
        assert {**answers, "/metrics": await status(ports.metrics, "/metrics")} == {
            "/livez": 200,
            "/readyz": 200,
            "/metrics": 200,
        }


@asynccontextmanager
async def process(runner: str) -> AsyncIterator[Ports]:
    """Serve in a process of its own, which may open few files."""
    code = f"import {runner}{SERVER.replace('RUNNER', runner)}"
    limited = f'ulimit -n {_FEW}; exec "$0" -c "$1"'
    served = await asyncio.create_subprocess_exec(
        "sh", "-c", limited, sys.executable, code, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert served.stdout
        async with asyncio.timeout(WITHIN):
            numbers = re.findall(rb"\d+", await served.stdout.readline())
        yield Ports(*map(int, numbers))
    finally:
        served.kill()
        await served.communicate()


def certified(folder: Path) -> ssl.SSLContext:
    authority = Authority.new("door")
    authority.pair.write(folder, "ca")
    authority.issue("keyturn").write(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context


def issue(folder: Path) -> ssl.SSLContext:
    """Write a certificate of a new authority; return what trusts that one alone."""
    authority = Authority.new("tests")
    authority.pair.write(folder, "ca")
    authority.issue("keyturn", names=["127.0.0.1"]).write(folder, "tls")
    return ssl.create_default_context(cafile=str(folder / "ca.crt"))


@asynccontextmanager
async def served(tls: ServerTls, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Serve what it is asked with the certificate of the moment, and follow its files; yield the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    monkeypatch.setattr(connections, "_RELOAD_INTERVAL", 0.01)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls.context) as server:
        following = asyncio.create_task(tls.keep())
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            following.cancel()


async def is_trusted(port: int, trust: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    except ssl.SSLError:
        return False
    writer.close()
    return True


async def test_a_renewed_certificate_is_served_and_open_connections_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = issue(tmp_path)
    async with served(ServerTls(tmp_path / "tls.crt", tmp_path / "tls.key", "metrics"), monkeypatch) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=before)
        with capture_logs() as said:
            after = issue(tmp_path)
            await until(lambda: "certificate reloaded" in [line["event"] for line in said])
        assert (await is_trusted(port, after), await is_trusted(port, before)) == (True, False)

        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        writer.close()


async def test_what_cannot_be_used_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = issue(tmp_path)
    with capture_logs() as said:
        async with served(
            ServerTls(tmp_path / "tls.crt", tmp_path / "tls.key", "metrics"), monkeypatch
        ) as port:
            issue(tmp_path)
            (tmp_path / "tls.key").write_text("half a fi")
            await until(lambda: bool(said))
            await asyncio.sleep(0.1)
            assert await is_trusted(port, before)

    assert [(line["event"], line["server"]) for line in said] == [("certificate not reloaded", "metrics")]


async def test_a_certificate_that_could_not_be_used_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(tmp_path)
    tls = ServerTls(tmp_path / "tls.crt", tmp_path / "tls.key", "metrics")
    failures, load = iter(("no descriptor is left", "no descriptor is left", "another reason")), tls._load

    def fail(_: ServerTls) -> None:
        for failure in failures:
            raise CannotServe(failure)
        load()

    monkeypatch.setattr(ServerTls, "_load", fail)
    with capture_logs() as said:
        async with served(tls, monkeypatch) as port:
            after = issue(tmp_path)
            await until(lambda: "certificate reloaded" in [line["event"] for line in said])
            assert await is_trusted(port, after)

    assert [line.get("reason") for line in said] == ["no descriptor is left", "another reason", None]
