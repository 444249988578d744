"""What the endpoint for audit events takes and refuses, over real TLS."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import secrets
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography import x509

from keyturn.endpoints import server as web
from keyturn.endpoints.audit import rejected_batches as deferred
from keyturn.endpoints.audit.authentication import AuditAuthentication, AuditSettings
from keyturn.endpoints.audit.endpoint import Endpoint
from keyturn.endpoints.audit.event import Access
from keyturn.endpoints.audit.queue import Intake
from keyturn.endpoints.server_tls import CannotServe
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
        self.authority.issue("kube-apiserver").write(self.folder, "apiserver")
        self.authority.issue("kubelet").write(self.folder, "kubelet")
        (self.folder / "token").write_text(f"{TOKEN}\n")

    def settings(self, **changes: Any) -> AuditSettings:
        plain = AuditSettings(0, self.folder / "server.crt", self.folder / "server.key")
        return replace(plain, **{"token_file": self.folder / "token", **changes})

    def mutual(self) -> AuditSettings:
        return self.settings(token_file=None, client_ca=self.folder / "ca.crt")

    def client(self, name: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        if name:
            context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context


@dataclass
class Sender:
    """Sends to an endpoint as a webhook does."""

    session: aiohttp.ClientSession
    port: int
    taken: list[Told]
    login: AuditAuthentication
    intake: Intake

    async def send(self, body: bytes, headers: Mapping[str, str] = BEARER) -> int:
        status, _, _ = await self.answer(body, headers)
        return status

    async def answer(
        self, body: bytes, headers: Mapping[str, str] = BEARER
    ) -> tuple[int, str, Mapping[str, str]]:
        url = f"https://127.0.0.1:{self.port}/audit"
        async with self.session.post(url, data=io.BytesIO(body), headers=headers) as response:
            return response.status, await response.text(), response.headers

    async def arrived(self, count: int) -> list[Told]:
        async with asyncio.timeout(60):
            while len(self.taken) < count:  # noqa: ASYNC110 - the watcher of a test tells nobody
                await asyncio.sleep(0.01)
        return self.taken


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@asynccontextmanager
async def sender(
    files: Files,
    settings: AuditSettings | None = None,
    *,
    client: str | None = None,
    most: int = 20_000,
    is_stuck: bool = False,
) -> AsyncIterator[Sender]:
    taken: list[Told] = []
    intake = Intake(taken.append, most)
    login = AuditAuthentication(settings or files.settings())
    endpoint = Endpoint(login, intake)
    listening = web.listen(endpoint.routes(), 0, "audit", tls=login.context, largest=endpoint.largest_body)
    connector = aiohttp.TCPConnector(ssl=files.client(client))
    async with (
        listening as port,
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        running = None if is_stuck else group.create_task(intake.run())
        yield Sender(session, port, taken, login, intake)
        if running:
            running.cancel()


async def test_what_the_api_server_sends_arrives_in_order(
    files: Files, counted: Callable[[str], Any]
) -> None:
    names = [f"s{number}" for number in range(400)]
    async with sender(files) as it:
        assert await it.send(event_list(*(event(name=name) for name in names[:300]))) == 200
        assert await it.send(event_list(*(event(name=name) for name in names[300:]))) == 200
        assert [one.name for one in await it.arrived(400) if isinstance(one, Access)] == names
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


async def test_the_client_certificate_of_the_api_server_is_enough(files: Files) -> None:
    async with sender(files, files.mutual(), client="apiserver") as it:
        assert await it.send(event_list(event()), {}) == 200


async def test_another_client_of_the_same_authority_is_refused(files: Files) -> None:
    async with sender(files, files.mutual(), client="kubelet") as it:
        assert await it.send(event_list(event()), {}) == 401


async def test_a_client_without_a_certificate_has_no_connection(files: Files) -> None:
    async with sender(files, files.mutual()) as it:
        with pytest.raises(aiohttp.ClientError):
            await it.send(event_list(event()), {})


async def test_a_certificate_of_an_authority_of_strangers_has_no_connection(
    files: Files, tmp_path: Path
) -> None:
    Authority.new("strangers").issue("kube-apiserver").write(tmp_path, "stranger")
    async with sender(files, files.mutual(), client="stranger") as it:
        with pytest.raises(aiohttp.ClientError):
            await it.send(event_list(event()), {})


async def test_with_both_ways_either_is_enough(files: Files) -> None:
    both = files.settings(client_ca=files.folder / "ca.crt")
    async with sender(files, both) as by_token, sender(files, both, client="apiserver") as by_certificate:
        assert await by_token.send(event_list(event())) == 200
        assert await by_certificate.send(event_list(event()), {}) == 200
        assert await by_token.send(event_list(event()), {}) == 401


async def test_a_token_that_was_renewed_counts_once_it_is_read(files: Files) -> None:
    fresh = secrets.token_urlsafe(32)
    async with sender(files) as it:
        (files.folder / "token").write_text(fresh)
        assert it.login.refresh()
        assert not it.login.refresh()
        assert await it.send(event_list(), {"Authorization": f"Bearer {fresh}"}) == 200
        assert await it.send(event_list()) == 401


async def test_a_renewed_file_that_is_broken_changes_nothing(files: Files) -> None:
    async with sender(files) as it:
        (files.folder / "token").write_text("short")
        for _ in range(2):  # it is tried again
            with pytest.raises(CannotServe, match="at least 32 characters"):
                it.login.refresh()
        assert await it.send(event_list()) == 200


async def test_a_renewed_certificate_without_its_key_changes_nothing(files: Files) -> None:
    async with sender(files) as it:
        files.authority.issue("other").write(files.folder, "server")
        (files.folder / "server.key").write_text("half a fi")
        with pytest.raises(CannotServe, match="the key must fit"):
            it.login.refresh()
        assert await it.send(event_list()) == 200


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "token").write_text("x" * 31), "write at least 32 characters"),
        (lambda folder: (folder / "token").unlink(), "cannot be read"),
        (lambda folder: (folder / "server.key").write_text("nothing"), "must be readable PEM files"),
        (lambda folder: (folder / "kubelet.key").rename(folder / "server.key"), "the key must fit"),
    ],
    ids=["short token", "no token", "no key", "another key"],
)
def test_files_that_cannot_be_used_are_refused_with_what_to_write(
    change: Callable[[Path], object], sentence: str, files: Files
) -> None:
    change(files.folder)
    with pytest.raises(CannotServe, match=sentence):
        AuditAuthentication(files.settings())


def test_a_subject_must_be_allowed(files: Files) -> None:
    with pytest.raises(CannotServe, match="--audit-token-file or --audit-client-ca"):
        AuditAuthentication(files.settings(token_file=None))


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
        assert len(await it.arrived(1)) == 1
    assert counted("audit_events_dropped_total") == {reason: 1}


async def test_a_malformed_event_takes_no_other_with_it(files: Files, counted: Callable[[str], Any]) -> None:
    async with sender(files) as it:
        assert await it.send(event_list(event(name="a"), {"stage": 7}, None, event(name="b"))) == 200
        assert [one.name for one in await it.arrived(2) if isinstance(one, Access)] == ["a", "b"]
    assert counted("audit_events_dropped_total") == {"malformed": 2}
    assert counted("audit_events_total") == {"": 2}


async def test_a_full_line_sends_back_with_the_time_to_wait(
    files: Files, counted: Callable[[str], Any]
) -> None:
    async with sender(files, most=3, is_stuck=True) as it:
        assert await it.send(event_list(*[event()] * 3)) == 200
        status, text, headers = await it.answer(event_list(*[event()] * 5))
        assert (status, headers["Retry-After"]) == (429, "2")
        assert "send the batch again" in text
    assert counted("audit_events_dropped_total") == {}
    assert counted("audit_events_total") == {"": 3}
    assert counted("audit_batches_total") == {"200": 1, "429": 1}


async def test_a_batch_that_is_sent_back_and_comes_again_is_not_dropped(
    files: Files, counted: Callable[[str], Any]
) -> None:
    async with sender(files, most=3, is_stuck=True) as it:
        first, second = event_list(*[event()] * 3), event_list(*[event()] * 5)
        assert [await it.send(one) for one in (first, second, second)] == [200, 429, 429]
        it.intake.finish()
        assert await it.send(second) == 200
    assert counted("audit_events_dropped_total") == {}
    assert counted("audit_events_total") == {"": 8}


async def test_a_batch_that_is_sent_back_and_never_comes_again_is_dropped_once(
    files: Files, counted: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred, "_RETRY_WINDOW", 0.0)
    async with sender(files, most=3, is_stuck=True) as it:
        assert await it.send(event_list(*[event()] * 3)) == 200
        assert await it.send(event_list(*[event()] * 5)) == 429
        it.intake.finish()
        assert [await it.send(event_list(event())) for _ in range(2)] == [200, 200]
    assert counted("audit_events_dropped_total") == {"busy": 5}


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
