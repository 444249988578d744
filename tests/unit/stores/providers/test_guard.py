"""What a tenant's URL may be, and what its server may do to us; against real servers."""

import asyncio
import ipaddress
import re
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from keyturn.runtime import reach, tls
from keyturn.runtime import threadpools as threads
from keyturn.runtime.reach import FORBIDDEN, AllowedHost, Network
from keyturn.stores.providers.errors import CERTIFICATES, Refused, StoreError, Unreachable, detail_of
from keyturn.stores.providers.guard import PERMIT, Limits, of_connection
from tests.support.api_servers import Scripted, answer, serving
from tests.support.cases import case, cases
from tests.unit.stores.providers.provider_fixtures import failing_without, guarded
from tests.unit.stores.providers.resolver import Names
from tests.unit.stores.providers.tls_server import authority, serving_tls

LOOPBACK = AllowedHost("127.0.0.1")
CANARY = "canary-in-a-url-or-body"
QUICK = Limits(size=1024 * 1024, seconds=1.0)


failing = failing_without(CANARY)


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1",
        "https://127.0.0.1:8200/v1",
        "https://127.1",
        "https://0x7f.1",
        "https://2130706433",
        "https://017700000001",
        "https://0.0.0.0",
        "https://10.0.0.1",
        "https://172.16.0.1",
        "https://192.168.1.1",
        "https://100.64.0.1",
        "https://169.254.169.254/latest/meta-data",
        "https://168.63.129.16",
        "https://224.0.0.1",
        "https://255.255.255.255",
        "https://240.0.0.1",
        "https://[::1]",
        "https://[::]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:a9fe:a9fe]",
        "https://[::127.0.0.1]",
        "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]",
        "https://[fe80::1]",
        "https://[fe80::1%25eth0]",
        "https://[fd00:ec2::254]",
        "https://[ff02::1]",
    ],
)
async def test_no_url_leads_inside(url: str) -> None:
    async with guarded() as guard:
        assert (await failing(guard.ask("GET", url))).code == "InsideAddress"


@pytest.mark.parametrize(
    "url", ["https://1.1.1.1", "https://[2606:4700::1111]:8443/x", "https://example.com"]
)
async def test_urls_of_the_world_are_admitted(url: str) -> None:
    async with guarded() as guard:
        assert str(guard.admit(url)).rstrip("/") == url


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com", "PlainHttp"),
        ("ftp://example.com", "InvalidUrl"),
        ("file:///etc/passwd", "InvalidUrl"),
        ("//example.com", "InvalidUrl"),
        ("https://", "InvalidUrl"),
        ("https:///path", "InvalidUrl"),
        ("example.com", "InvalidUrl"),
        ("", "InvalidUrl"),
        ("https://example.com:0", "InvalidUrl"),
        ("https://example.com:99999", "InvalidUrl"),
        (f"https://user:{CANARY}@example.com", "InvalidUrl"),
        (f"https://{CANARY}@example.com", "InvalidUrl"),
        (f"https://[{CANARY}", "InvalidUrl"),
        ("unix:///run/docker.sock", "InvalidUrl"),
    ],
)
async def test_what_is_no_https_url_is_refused_without_being_quoted(url: str, code: str) -> None:
    async with guarded() as guard:
        assert (await failing(guard.ask("GET", url))).code == code


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["169.254.169.254"],
        ["::1"],
        ["1.1.1.1", "127.0.0.1"],
        ["::ffff:10.0.0.1"],
    ],
    ids=" ".join,
)
async def test_no_name_leads_inside(addresses: list[str]) -> None:
    async with guarded(resolver=Names(addresses)) as guard:
        assert (await failing(guard.ask("GET", "https://evil.example"))).code == "InsideAddress"


REFUSED_BY_OUR_TABLE = [
    *("192.0.0.9", "192.0.0.192", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.175.48.1"),
    *("64:ff9b:1::7f00:1", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b::c000:c0", "::ffff:192.0.0.192"),
    *("::ffff:0:127.0.0.1", "::ffff:0:1.1.1.1", "::1.1.1.1", "100::1", "100:0:0:1::1", "5f00::1", "fec0::1"),
    *("2001::1", "2001:1::1", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:db8::1", "2002:c000:c0::1"),
    *("2620:4f:8000::1", "3fff::1", "4000::1"),
]


@pytest.mark.parametrize("address", REFUSED_BY_OUR_TABLE)
async def test_no_address_of_a_special_purpose_is_of_the_world(address: str) -> None:
    async with guarded() as guard:
        with pytest.raises(Refused):
            guard.admit_address("evil.example", 443, ipaddress.ip_address(address))


@pytest.mark.parametrize("network", FORBIDDEN, ids=str)
async def test_the_whole_of_a_forbidden_network_is_refused(network: Network) -> None:
    async with guarded() as guard:
        for address in (network[0], network[-1]):
            with pytest.raises(Refused):
                guard.admit_address("evil.example", 443, address)


@pytest.mark.parametrize(
    "address", ["100.63.255.255", "172.32.0.0", "192.0.1.0", "198.20.0.0", "223.255.255.255"]
)
async def test_what_lies_beside_a_forbidden_network_is_admitted(address: str) -> None:
    async with guarded() as guard:
        guard.admit_address("vault.example", 443, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1", "2001:200::1", "2a00:1450:4001::1"]
)
async def test_addresses_of_ipv6_that_lead_to_the_world_are_admitted(address: str) -> None:
    async with guarded() as guard:
        guard.admit_address("vault.example", 443, ipaddress.ip_address(address))


async def test_python_s_own_table_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (ipaddress.IPv4Address, ipaddress.IPv6Address):
        monkeypatch.setattr(kind, "is_global", True)
        monkeypatch.setattr(kind, "is_private", False)
    async with guarded() as guard:
        for address in ("10.0.0.1", "127.0.0.1", "::1", "fd00::1", "64:ff9b:1::1"):
            with pytest.raises(Refused):
                guard.admit_address("evil.example", 443, ipaddress.ip_address(address))


async def test_ranges_of_the_cluster_are_inside_though_public_in_form() -> None:
    inside = [ipaddress.ip_network("34.118.224.0/20")]  # GKE gives Services such addresses
    async with guarded(inside=inside, resolver=Names("34.118.225.1")) as guard:
        assert (await failing(guard.ask("GET", "https://evil.example"))).code == "InsideAddress"


CLUSTER = [ipaddress.ip_network("10.96.0.0/12")]
AWS = "secretsmanager.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    "host",
    [
        AWS,
        *("shop.vault.azure.net", "shop.vault.azure.cn", "shop.vault.usgovcloudapi.net"),
        *("secretmanager.googleapis.com", "secretmanager.europe-west3.rep.googleapis.com"),
        *("secretmanager-shop.p.googleapis.com", "sts.googleapis.com", "iamcredentials.googleapis.com"),
    ],
)
async def test_private_endpoints_of_clouds_are_reached(host: str) -> None:
    async with guarded(inside=CLUSTER) as guard:
        guard.admit_address(host, 443, ipaddress.ip_address("10.0.0.5"))


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (AWS, "127.0.0.1"),
        (AWS, "169.254.169.254"),
        (AWS, "10.96.0.1"),
        (AWS, "fd00:ec2::254"),
        (AWS, "192.0.0.192"),
        (AWS, "64:ff9b:1::a9fe:a9fe"),
        (AWS, "2001:db8::1"),
        ("sts.googleapis.com", "fd20:ce::254"),
        ("internal-lb.eu-central-1.elb.amazonaws.com", "10.0.0.5"),
        (f"evil.example.{AWS}", "10.0.0.5"),
        (f"{AWS}.evil.example", "10.0.0.5"),
        ("shop.vault.azure.org", "10.0.0.5"),
        ("shop.evil.vault.azure.cn", "10.0.0.5"),
    ],
)
async def test_nothing_beside_private_endpoints_of_clouds_is_reached(host: str, address: str) -> None:
    async with guarded(inside=CLUSTER) as guard:
        with pytest.raises(Refused):
            guard.admit_address(host, 443, ipaddress.ip_address(address))


# What an administrator allows


async def test_an_allowed_host_is_reached_by_plain_http() -> None:
    async with serving(text("hello")) as server, guarded(LOOPBACK) as guard:
        answer = await guard.ask("GET", server)
    assert (answer.status, answer.body) == (200, b"hello")


async def test_another_port_than_the_allowed_one_is_refused() -> None:
    async with serving(text("hello")) as server, guarded(AllowedHost("127.0.0.1", 1)) as guard:
        assert (await failing(guard.ask("GET", server))).code == "PlainHttp"


async def test_an_allowed_host_allows_no_other_name_of_its_address() -> None:
    async with serving(text("hello")) as server, guarded(LOOPBACK, resolver=Names("127.0.0.1")) as guard:
        other = server.replace("http", "https").replace("127.0.0.1", "evil.example")
        assert (await failing(guard.ask("GET", other))).code == "InsideAddress"


def text(body: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=body)

    return handle


# Rebinding


async def test_a_name_that_turns_inside_later_is_not_followed() -> None:
    names = Names("1.1.1.1", "127.0.0.1")
    async with guarded(resolver=names, limits=QUICK) as guard:
        guard.admit("https://evil.example:1")
        await names.resolve("evil.example")  # what a check before the connection would have seen
        assert (await failing(guard.ask("GET", "https://evil.example:1"))).code == "InsideAddress"


async def test_a_name_is_looked_up_once_for_a_connection() -> None:
    names = Names("127.0.0.1")
    async with (
        serving(text("hello")) as server,
        guarded(AllowedHost("good.example"), resolver=names) as guard,
    ):
        for _ in range(3):
            await guard.ask("GET", server.replace("127.0.0.1", "good.example"))
    assert names.asked == 1


async def test_every_new_connection_is_decided_again() -> None:
    async def once(_: web.Request) -> web.Response:
        return web.Response(headers={"Connection": "close"})

    names = Names("127.0.0.1", "127.0.0.1", "169.254.169.254")
    async with serving(once) as server, guarded(resolver=names) as guard:
        guard._allowed = frozenset({AllowedHost("good.example")})
        address = server.replace("127.0.0.1", "good.example")
        for _ in range(2):
            await guard.ask("GET", address)
        guard._allowed = frozenset()
        refused = await failing(guard.ask("GET", address.replace("http:", "https:")))
    assert (names.asked, refused.code) == (3, "InsideAddress")


# What a server answers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
async def test_no_redirect_is_followed(status: int) -> None:
    asked = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status, headers={"Location": f"/elsewhere?{CANARY}"})

    async with serving(handle) as server, guarded(LOOPBACK) as guard:
        refused = await failing(guard.ask("GET", f"{server}/here"))
    assert (refused.code, asked) == ("Redirected", ["/here"])


async def test_a_body_of_50_mib_is_not_taken_in() -> None:
    sent = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(800):
            await response.write(b"x" * 65536)
            sent += 65536
        return response

    async with serving(handle) as server, guarded(LOOPBACK, limits=Limits(size=QUICK.size)) as guard:
        refused = await failing(guard.ask("GET", server))
    assert refused.code == "TooLarge"
    assert sent < 20 * 1024 * 1024


async def test_a_body_that_says_it_is_too_large_is_not_even_begun() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(50 * 1024 * 1024)})
        await response.prepare(request)
        await (
            asyncio.Event().wait()
        )  # who waits for the body is refused by the time that it takes, not by its size
        return response

    async with serving(handle) as server, guarded(LOOPBACK, limits=Limits(seconds=10)) as guard:
        assert (await failing(guard.ask("GET", server))).code == "TooLarge"


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with serving(text("x" * 1024)) as server, guarded(LOOPBACK, limits=Limits(size=1024)) as guard:
        assert len((await guard.ask("GET", server)).body) == 1024


async def test_a_compressed_body_is_refused_before_it_unpacks() -> None:
    packed = zlib.compress(b"x" * 50 * 1024 * 1024)

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "deflate"})

    async with serving(handle) as server, guarded(LOOPBACK) as guard:
        assert (await failing(guard.ask("GET", server))).code == "Compressed"


async def test_a_slow_drip_ends_in_time() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(300):
            await response.write(b"x")
            await asyncio.sleep(0.05)
        return response

    async with serving(handle) as server, guarded(LOOPBACK, limits=QUICK) as guard:
        refused = await failing(guard.ask("GET", server))
    assert (type(refused), refused.code) == (Unreachable, "Timeout")


# A process that leads no more


@pytest.mark.parametrize("seconds", [30.0, -0.001], ids=["in time", "too late"])
async def test_the_body_of_a_change_is_sent_until_its_permit_ends(seconds: float) -> None:
    """A process that was frozen between two requests of a change sends the second one before any timer runs."""
    script = Scripted(answer())
    ends = asyncio.get_running_loop().time() + seconds
    PERMIT.set(lambda: ends)
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        if seconds > 0:
            await guard.ask("POST", server, body=b"{}")
        else:
            assert (await failing(guard.ask("POST", server, body=b"{}"))).code == "Timeout"
    assert len(script.asked) == (seconds > 0)


@asynccontextmanager
async def raw(answer: bytes, *, hold: bool = False) -> AsyncIterator[str]:
    """Serve bytes that are no proper HTTP."""
    over = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hold:
            await over.wait()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        await asyncio.sleep(0.05)  # until the connections are closed as well


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        f"{CANARY}\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9" + b"9" * 4000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 " + CANARY.encode() + b"\r\n\r\n",
    ],
    ids=range(8),
)
async def test_what_is_no_http_is_no_answer(answer: bytes) -> None:
    async with raw(answer) as server, guarded(LOOPBACK, limits=QUICK) as guard:
        assert isinstance(await failing(guard.ask("GET", server)), Unreachable | Refused)


async def test_a_server_that_says_nothing_ends_in_time() -> None:
    async with raw(b"", hold=True) as server, guarded(LOOPBACK, limits=QUICK) as guard:
        assert (await failing(guard.ask("GET", server))).code == "Timeout"


async def test_a_refusal_is_an_answer_that_is_not_printed() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=403, text=CANARY, headers={"X-Canary": CANARY})

    async with serving(handle) as server, guarded(LOOPBACK) as guard:
        answer = await guard.ask("GET", server)
    assert (answer.status, answer.body.decode()) == (403, CANARY)
    assert CANARY not in repr(answer)


async def test_nothing_that_a_server_sets_is_sent_back() -> None:
    cookies = []

    async def handle(request: web.Request) -> web.Response:
        cookies.append(dict(request.cookies))
        return web.Response(headers={"Set-Cookie": "a=b"})

    good, names = AllowedHost("good.example"), Names("127.0.0.1")
    async with serving(handle) as server, guarded(good, resolver=names) as guard:
        for _ in range(2):
            await guard.ask("GET", server.replace("127.0.0.1", "good.example"))
    assert cookies == [{}, {}]


async def test_the_proxy_of_the_environment_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(text("hello")) as server, serving(text("proxy")) as proxy, guarded(LOOPBACK) as guard:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        assert (await guard.ask("GET", server)).body == b"hello"


# TLS


async def asked(server: ssl.SSLContext, trust: ssl.SSLContext | None, name: str) -> bytes:
    allowed = AllowedHost(name)
    async with (
        serving_tls(server, name, text("hello")) as url,
        guarded(allowed, resolver=Names("127.0.0.1")) as guard,
    ):
        return (await guard.ask("GET", url, trust=trust)).body


async def test_a_server_that_is_trusted_is_asked(tmp_path: Path) -> None:
    server, trust = authority(tmp_path, "good.example")
    assert await asked(server, trust, "good.example") == b"hello"


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    server, _ = authority(tmp_path, "good.example")
    error = await failing(asked(server, None, "good.example"))
    assert isinstance(error, Unreachable)
    assert (error.code, error.host) == ("CertificateUnknownAuthority", "good.example")
    assert error.is_lasting
    assert "unknown authority" in detail_of(error)


class NoNames(Names):
    async def resolve(self, host: str, port: int = 0, family: Any = None) -> list[Any]:
        raise OSError(host, port, family)


async def test_an_error_names_the_host_that_has_no_address() -> None:
    async with guarded(resolver=NoNames()) as guard:
        found = await failing(guard.ask("GET", "https://no.example"))
    assert "no.example" in detail_of(found)


class NoSuchName(Names):
    async def resolve(self, host: str, port: int = 0, family: Any = None) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, f"{host}:{port} {family}")


class NoNameServer(Names):
    async def resolve(self, host: str, port: int = 0, family: Any = None) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, f"{host}:{port} {family}")


@cases(
    ("names", "is_lasting"),
    case("no such host", NoSuchName(), True),
    case("DNS is down", NoNameServer(), False),
)
async def test_only_a_host_that_does_not_exist_is_lasting(names: Names, *, is_lasting: bool) -> None:
    async with guarded(resolver=names) as guard:
        error = await failing(guard.ask("GET", "https://no.example"))
    assert isinstance(error, Unreachable)
    assert (error.is_lasting, error.host) == (is_lasting, "no.example")


async def test_a_refused_connection_is_not_lasting() -> None:
    async with guarded(AllowedHost("closed.example"), resolver=Names("127.0.0.1")) as guard:
        error = await failing(guard.ask("GET", "http://closed.example:1"))
    assert isinstance(error, Unreachable)
    assert (error.code, error.is_lasting) == ("ConnectionRefusedError", False)


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server, trust = authority(tmp_path, "other.example")
    assert "another name" in detail_of(await failing(asked(server, trust, "good.example")))


# Owners who keep us busy


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let name servers of .evil.example never answer, and those of .good.example lead to this machine."""
    asked: list[str] = []
    over = threading.Event()
    real = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **named: Any) -> Any:
        asked.append(host)
        if host.endswith(".evil.example"):
            over.wait(60)
            raise socket.gaierror
        return real("127.0.0.1" if host.endswith(".good.example") else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    over.set()


async def test_names_that_are_never_answered_block_no_other(silence: list[str]) -> None:
    allowed = AllowedHost("shop.good.example")
    async with serving(text("hello")) as server, guarded(allowed, limits=QUICK) as guard:
        evil = [failing(guard.of("evil").ask("GET", f"https://{one}.evil.example")) for one in range(200)]
        busy = asyncio.gather(*evil)
        address, good = server.replace("127.0.0.1", "shop.good.example"), guard.of("good")
        good.limits = Limits()
        answer = await good.ask("GET", address)
        assert {one.code for one in await busy} == {"Timeout"}
        later = await good.ask("GET", address)  # the lookups go on, though nobody waits for them

        async with asyncio.timeout(60):
            metrics = await threads.run_own(lambda: "metrics")
            loaded = await asyncio.to_thread(lambda: "a file")

    assert (answer.body, later.body, metrics, loaded) == (b"hello", b"hello", "metrics", "a file")
    assert len([one for one in silence if "evil" in one]) <= 4


async def test_an_owner_waits_for_no_lookup_of_others_however_many_they_are(silence: list[str]) -> None:
    allowed = AllowedHost("shop.good.example")
    async with serving(text("hello")) as server, guarded(allowed) as guard:
        evil = [
            asyncio.ensure_future(failing(guard.of(f"evil-{owner}").ask("GET", "https://a.evil.example")))
            for owner in range(150)
            for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        answer = await guard.of("good").ask("GET", server.replace("127.0.0.1", "shop.good.example"))
        assert not any(one.done() for one in evil)
        for one in evil:
            one.cancel()
        await asyncio.wait(evil)
    assert answer.body == b"hello"
    assert len([one for one in silence if "evil" in one]) < 150 * 2


async def test_a_lookup_that_takes_longer_than_three_seconds_is_given_up(
    silence: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "_LOOKUP_TIMEOUT", 0.1)
    async with guarded() as guard:
        error = await failing(guard.ask("GET", "https://a.evil.example"))
    assert (type(error), error.code) == (Unreachable, "Timeout")
    assert silence == ["a.evil.example"]


async def test_a_server_that_never_answers_blocks_no_other() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with (
        serving(hang) as slow,
        serving(text("hello")) as server,
        guarded(LOOPBACK, limits=Limits(seconds=60)) as guard,
    ):
        evil = [asyncio.ensure_future(failing(guard.of("evil").ask("GET", slow))) for _ in range(200)]
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            answer = await guard.of("good").ask("GET", server)
        for one in evil:
            one.cancel()
        await asyncio.wait(evil)
    assert answer.body == b"hello"


CONNECTION: Any = None


def of_certificate(code: int) -> Exception:
    error = ssl.SSLCertVerificationError(1, "issued by canary-3fGh")
    error.verify_code = code
    return aiohttp.ClientConnectorCertificateError(CONNECTION, error)


@cases(
    ("code", "cause"),
    case("expired", 10, "expired"),
    case("self-signed", 18, "self-signed"),
    case("unknown authority", 20, "unknown authority"),
    case("other name", 62, "another name"),
    case("another code", 99, "caRef"),
)
def test_a_certificate_that_is_not_accepted_has_its_cause_and_no_text_of_the_server(
    code: int, cause: str
) -> None:
    error = of_connection(of_certificate(code), "vault.example")

    assert (error.code in CERTIFICATES, error.host, error.is_lasting) == (True, "vault.example", True)
    assert error.hint == "", "the host of a kubeconfig is confidential, so it is in no hint"
    assert cause in detail_of(error)
    assert "canary" not in detail_of(error)


NAME = "good.example"
guarding_here = partial(guarded, AllowedHost(NAME), resolver=Names("127.0.0.1"))


@asynccontextmanager
async def openssl(folder: Path, *options: str) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    """Serve a page with the server of OpenSSL; give its URL and who trusts it."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-subj",
        "/CN=test",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    ]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    files = ("-key", str(folder / "tls.key"), "-cert", str(folder / "tls.crt"))
    command += ["-keyout", files[1], "-out", files[3]]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    serve = ("s_server", "-accept", "127.0.0.1:0", "-www", *files, *options)
    process = await asyncio.create_subprocess_exec("openssl", *serve, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        while not (found := re.match(rb"ACCEPT .*:(\d+)", await process.stdout.readline())):
            assert process.returncode is None
        trust = tls.client_context((folder / "tls.crt").read_bytes())
        yield f"https://{NAME}:{int(found[1])}", trust
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("group", ["X25519", "P-384", "ffdhe8192"])
async def test_a_server_without_the_curve_gets_it_in_the_message(tmp_path: Path, group: str) -> None:
    async with openssl(tmp_path, "-groups", group) as (url, trust), guarding_here() as guard:
        with pytest.raises(StoreError) as refused:
            await guard.ask("GET", url, trust=trust)
    error = refused.value
    assert (type(error), error.code) == (Unreachable, "NoCommonCurve")
    assert error.hint.endswith("enable P-256 and TLS 1.3")
    assert error.__context__ is None


async def test_a_certificate_that_is_not_trusted_is_asked_for_once(tmp_path: Path) -> None:
    async with openssl(tmp_path) as (url, _), guarding_here() as guard:
        with pytest.raises(StoreError) as refused:
            await guard.ask("GET", url)
    assert refused.value.code == "CertificateSelfSigned"
