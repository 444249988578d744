"""What the endpoint for audit events takes and refuses, over real TLS."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import secrets
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography import x509

from keyturn.endpoints import server as web
from keyturn.endpoints.audit.endpoint import Endpoint, read_token
from keyturn.endpoints.audit.event import Access
from keyturn.endpoints.server_tls import CannotServe, ServerTls
from sandbox.pki import Authority
from tests.unit.endpoints.audit.audit_events import event, event_list

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from keyturn.endpoints.audit.event import Told

TOKEN = secrets.token_urlsafe(32)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Files:
    """The authority of a test, and what it has signed."""

    folder: Path
    authority: Authority = field(default_factory=lambda: Authority.new("audit"))

    def __post_init__(self) -> None:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        self.authority.pair.write(self.folder, "ca")
        self.authority.issue("keyturn", names=[address]).write(self.folder, "server")
        (self.folder / "token").write_text(f"{TOKEN}\n")

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "ca.crt")


@dataclass
class Sender:
    """Sends to an endpoint as a webhook does."""

    session: aiohttp.ClientSession
    port: int
    taken: list[Told]
    endpoint: Endpoint

    async def send(self, body: bytes, headers: Mapping[str, str] = BEARER) -> int:
        status, _, _ = await self.answer(body, headers)
        return status

    async def answer(
        self, body: bytes, headers: Mapping[str, str] = BEARER
    ) -> tuple[int, str, Mapping[str, str]]:
        url = f"https://127.0.0.1:{self.port}/audit"
        async with self.session.post(url, data=io.BytesIO(body), headers=headers) as response:
            return response.status, await response.text(), response.headers


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@asynccontextmanager
async def sender(files: Files) -> AsyncIterator[Sender]:
    taken: list[Told] = []
    endpoint = Endpoint(files.folder / "token", taken.append)
    endpoint.is_ready = True
    tls = ServerTls(files.folder / "server.crt", files.folder / "server.key", "audit").context
    listening = web.listen(endpoint.routes(), 0, "audit", tls=tls, largest=endpoint.largest_body)
    connector = aiohttp.TCPConnector(ssl=files.client())
    async with listening as port, aiohttp.ClientSession(connector=connector) as session:
        yield Sender(session, port, taken, endpoint)


async def test_what_the_api_server_sends_arrives_in_order(
    files: Files, counted: Callable[[str], Any]
) -> None:
    names = [f"s{number}" for number in range(400)]
    async with sender(files) as it:
        assert await it.send(event_list(*(event(name=name) for name in names[:300]))) == 200
        assert await it.send(event_list(*(event(name=name) for name in names[300:]))) == 200
        assert [one.name for one in it.taken if isinstance(one, Access)] == names
    assert counted("audit_batches_total") == {"200": 2}
    assert counted("audit_events_total") == {"": 400}
    assert counted("audit_events_dropped_total") == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": "Bearer é"},
        {"Authorization": "Bearer "},
    ],
    ids=["none", "empty", "no scheme", "another scheme", "longer", "shorter", "not ASCII", "no token"],
)
async def test_who_has_not_the_token_is_refused_and_counted(
    headers: dict[str, str], files: Files, counted: Callable[[str], Any]
) -> None:
    async with sender(files) as it:
        assert await it.send(event_list(event()), headers) == 401
        assert it.taken == []
    assert counted("authentication_failures_total") == {"audit": 1}
    assert counted("audit_batches_total") == {"401": 1}


async def test_a_token_that_was_renewed_counts_at_once(files: Files) -> None:
    fresh = secrets.token_urlsafe(32)
    async with sender(files) as it:
        (files.folder / "token").write_text(fresh)
        assert await it.send(event_list(), {"Authorization": f"Bearer {fresh}"}) == 200
        assert await it.send(event_list()) == 401


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda token: token.write_text("x" * 31), "write at least 32 characters"),
        (lambda token: token.unlink(), "cannot be read"),
    ],
    ids=["short", "none"],
)
async def test_without_a_token_that_can_be_used_nothing_is_taken(
    change: Callable[[Path], object], sentence: str, files: Files
) -> None:
    change(files.folder / "token")
    with pytest.raises(CannotServe, match=sentence):
        read_token(files.folder / "token")
    async with sender(files) as it:
        for header in (BEARER, {"Authorization": f"Bearer {'x' * 31}"}, {"Authorization": "Bearer "}):
            assert await it.send(event_list(event()), header) == 401
        assert it.taken == []


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"kind": "Secret"}', 400, "malformed"),
        (b" " * (4 * 1024 * 1024 + 1), 413, "too_large"),
    ],
    ids=["no JSON", "deep", "another kind", "huge"],
)
async def test_what_is_no_list_of_events_is_refused_and_the_next_one_taken(
    body: bytes, status: int, reason: str, files: Files, counted: Callable[[str], Any]
) -> None:
    async with sender(files) as it:
        assert await it.send(body) == status
        assert await it.send(event_list(event())) == 200
        assert len(it.taken) == 1
    assert counted("audit_events_dropped_total") == {reason: 1}


async def test_a_malformed_event_takes_no_other_with_it(files: Files, counted: Callable[[str], Any]) -> None:
    async with sender(files) as it:
        assert await it.send(event_list(event(name="a"), {"stage": 7}, None, event(name="b"))) == 200
        assert [one.name for one in it.taken if isinstance(one, Access)] == ["a", "b"]
    assert counted("audit_events_dropped_total") == {"malformed": 2}
    assert counted("audit_events_total") == {"": 2}


async def test_before_events_can_be_judged_a_batch_is_sent_back(
    files: Files, counted: Callable[[str], Any]
) -> None:
    async with sender(files) as it:
        it.endpoint.is_ready = False
        status, text, headers = await it.answer(event_list(event()))
        assert (status, headers["Retry-After"]) == (429, "2")
        assert "send the batch again" in text
        it.endpoint.is_ready = True
        assert await it.send(event_list(event())) == 200
    assert counted("audit_events_dropped_total") == {}
    assert counted("audit_events_total") == {"": 1}
    assert counted("audit_batches_total") == {"200": 1, "429": 1}


async def test_more_senders_than_can_be_read_at_once_are_sent_back(files: Files) -> None:
    gate = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await gate.wait()

    async with sender(files) as it, asyncio.TaskGroup() as group:
        url = f"https://127.0.0.1:{it.port}/audit"
        slow = [group.create_task(it.session.post(url, data=slowly(), headers=BEARER)) for _ in range(4)]
        async with asyncio.timeout(60):
            while await it.send(event_list()) != 429:  # noqa: ASYNC110 - as a sender would see it
                await asyncio.sleep(0.05)
        gate.set()
        assert [(await one).status for one in slow] == [400] * 4
        assert await it.send(event_list()) == 200


async def test_what_is_compressed_is_refused(files: Files) -> None:
    async with sender(files) as it:
        assert await it.send(event_list(), {**BEARER, "Content-Encoding": "gzip"}) in {400, 415}


async def test_an_answer_never_quotes_what_was_sent(files: Files) -> None:
    async with sender(files) as it:
        for body in (b'{"kind": "c2VjcmV0"', b'{"kind": "EventList", "items": "c2VjcmV0"}'):
            _, text, _ = await it.answer(body)
            assert "c2VjcmV0" not in text
