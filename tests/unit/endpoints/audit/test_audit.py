"""How what was seen gets into its Secret, whatever the API server says to that."""

import asyncio
import copy
import io
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from keyturn.checklist.monitor import ClusterEvidence
from keyturn.core.keys import ObjectKey
from keyturn.endpoints import server as web
from keyturn.endpoints.audit import Audit, AuditSettings
from keyturn.endpoints.audit.access_log import AccessScope
from keyturn.endpoints.audit.audit import Endpoint, read_token
from keyturn.endpoints.audit.event import Access, SubjectKind, Told, parse
from keyturn.endpoints.connections import CannotServe, ServerTls
from keyturn.kube import errors
from keyturn.kube.cache.cache import InformerCache
from keyturn.kube.client import Api
from keyturn.kube.wire import Body
from sandbox.pki import Authority
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, at, event, event_list
from tests.unit.endpoints.audit.test_classifier import cache

TOKEN = secrets.token_urlsafe(32)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Files:
    """The authority of a test, and what it has signed."""

    folder: Path
    authority: Authority = field(default_factory=lambda: Authority.new("audit"))

    def __post_init__(self) -> None:
        self.authority.pair.write(self.folder, "ca")
        self.authority.issue("keyturn", names=["127.0.0.1"]).write(self.folder, "server")
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


async def test_a_repeated_event_counts_once(files: Files) -> None:
    async with sender(files) as it:
        body = event_list(event())
        assert [await it.send(body), await it.send(body)] == [200, 200]
        assert len(it.taken) == 1


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


NAMESPACE = "keyturn-system"
AUTH = ObjectKey("shop", "auth")


@dataclass
class OneSecret:
    """An API server that keeps one Secret, and can refuse."""

    body: Body | None = None
    writes: int = 0
    refusal: type[errors.ApiError] | None = None
    before_write: Callable[[], object] = lambda: None
    version: int = 0
    refused: int = 0

    async def request(self, _path: str, _body: Body) -> Body:
        self._refuse()
        return {"status": {"userInfo": {"username": "system:serviceaccount:keyturn-system:keyturn"}}}

    async def get(self, _path: str, *, metadata_only: bool = False) -> Body:
        self._refuse()
        if self.body is None:
            raise errors.NotFound("get", "secrets", 404, "NotFound")
        return {"metadata": self.body["metadata"]} if metadata_only else copy.deepcopy(self.body)

    async def create(self, _path: str, body: Body) -> Body:
        self._refuse()
        self.before_write()
        if self.body is not None:
            raise errors.AlreadyExists("create", "secrets", 409, "AlreadyExists")
        return self._written(body)

    async def replace(self, _path: str, body: Body) -> Body:
        self._refuse()
        self.before_write()
        if (
            self.body is None
            or body["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]
        ):
            raise errors.Conflict("update", "secrets", 409, "Conflict")
        return self._written(body)

    def _written(self, body: Body) -> Body:
        self.version += 1
        self.writes += 1
        self.body = copy.deepcopy(body)
        self.body["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.body)

    def _refuse(self) -> None:
        if self.refusal:
            self.refused += 1
            raise self.refusal("get", "secrets", 500, "Refused")


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: at(days=1))


@pytest.fixture
def settings(tmp_path: Path) -> AuditSettings:
    Authority.new("audit").issue("keyturn").write(tmp_path, "server")
    (tmp_path / "token").write_text(secrets.token_hex(32))
    return AuditSettings(0, tmp_path / "server.crt", tmp_path / "server.key", token_file=tmp_path / "token")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replica(settings: AuditSettings, clock: Clock) -> Callable[..., Audit]:
    def made(api: OneSecret, mirror: InformerCache | None = None) -> Audit:
        proof = ClusterEvidence()
        return Audit(settings, cast("Api", api), NAMESPACE, mirror or cache(), lambda: clock.now, proof)

    return made


def take(audit: Audit, *users: str) -> None:
    for user in users:
        one = parse(event(user=user, name="login"))
        assert one
        audit.watcher.take(one)


def readers(audit: Audit) -> dict[str, int]:
    found = audit.readership("shop", ["auth"], START - timedelta(days=1))
    return {one.subject: one.count for _, one in found.readers}


async def test_a_record_is_made_once_there_is_something_and_again_only_if_a_subject_is_new(
    replica: Callable[..., Audit],
) -> None:
    api = OneSecret()
    audit = replica(api)
    assert await audit.sync()
    assert api.body is None
    for users in ((API,), (API,), (), (ALICE,)):
        take(audit, *users)
        await audit.sync()
    assert api.writes == 2


async def test_counts_of_who_is_known_follow_after_ten_minutes(
    replica: Callable[..., Audit], clock: Clock
) -> None:
    api = OneSecret()
    audit = replica(api)
    take(audit, API)
    await audit.sync()
    take(audit, API)
    for minutes, writes in ((9, 1), (2, 2), (0, 2)):
        clock.now += timedelta(minutes=minutes)
        await audit.sync()
        assert api.writes == writes
    assert readers(audit) == {API: 2}


async def test_two_replicas_that_write_at_once_lose_nothing(replica: Callable[..., Audit]) -> None:
    api = OneSecret()
    one, other = replica(api), replica(api)
    await one.sync()
    take(one, API, ALICE)
    take(other, API)
    assert await one.sync()
    await other.sync()

    def meanwhile() -> None:
        api.before_write = lambda: None
        assert api.body
        api.version += 1
        api.body["metadata"]["resourceVersion"] = str(api.version)

    take(one, "bob")
    take(other, "eve")
    api.before_write = meanwhile
    for audit in (one, other, one, other, one):
        assert await audit.sync()
    assert readers(one) == readers(other) == {API: 2, ALICE: 1, "bob": 1, "eve": 1}


async def test_readers_of_a_secret_stay_while_its_object_is_deleted(replica: Callable[..., Audit]) -> None:
    api, mirror = OneSecret(), cache()
    audit = replica(api, mirror)
    take(audit, ALICE)
    await audit.sync()

    mirror.drop_managed(AUTH)
    await audit.sync()
    metadata = {"name": "auth", "namespace": "shop", "uid": "2", "resourceVersion": "3"}
    mirror.put_managed({"metadata": metadata, "spec": {}})
    take(audit, "bob")
    await audit.sync()

    after = replica(api, mirror)
    await after.sync()
    assert readers(audit) == readers(after) == {ALICE: 1, "bob": 1}


def test_an_event_years_ahead_proves_the_access_log_for_minutes(
    settings: AuditSettings, clock: Clock
) -> None:
    proof = ClusterEvidence()
    audit = Audit(settings, cast("Api", OneSecret()), NAMESPACE, cache(), lambda: clock.now, proof)
    audit.watcher.is_ourselves = lambda subject: subject == API
    for time in (at(days=3650), at(days=1)):
        one = parse(event(name="login", time=time))
        assert one
        audit.watcher.take(one)

    assert proof.logged == at(days=1, minutes=1)


async def test_a_foreign_secret_is_not_touched(replica: Callable[..., Audit]) -> None:
    api = OneSecret()
    api._written({"metadata": {"name": "keyturn-access"}, "type": "Opaque", "data": {}})
    before = copy.deepcopy(api.body)
    audit = replica(api)
    take(audit, API)
    with capture_logs() as logs:
        assert await audit.sync()
    assert api.body == before
    assert [one["reason"] for one in logs] == ["the Secret is foreign"]
    assert readers(audit) == {API: 1}


async def test_a_record_that_was_spoiled_begins_again(replica: Callable[..., Audit]) -> None:
    api = OneSecret()
    audit = replica(api)
    take(audit, API)
    await audit.sync()
    assert api.body
    api.body["data"]["read"] = "eA=="
    api.version += 1
    api.body["metadata"]["resourceVersion"] = str(api.version)
    take(audit, ALICE)
    assert await audit.sync()
    after = replica(api)
    await after.sync()
    assert readers(after) == {API: 1, ALICE: 1}


async def test_without_the_right_to_it_continues_without_a_record(replica: Callable[..., Audit]) -> None:
    audit = replica(OneSecret(refusal=errors.Forbidden))
    take(audit, API)
    assert await audit.sync()
    assert readers(audit) == {API: 1}


async def test_what_could_not_be_written_is_written_when_the_api_server_is_back(
    replica: Callable[..., Audit],
) -> None:
    api = OneSecret()
    audit = replica(api)
    take(audit, API)
    api.refusal = errors.Unavailable
    assert not await audit.sync()
    api.refusal = None
    take(audit, API)
    assert await audit.sync()
    assert (api.writes, readers(audit)) == (1, {API: 2})


async def test_reads_are_neither_lost_nor_counted_twice_wherever_a_shutdown_interrupts_a_write(
    replica: Callable[..., Audit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyturn.runtime.threadpools.run_own", in_one_turn)
    monkeypatch.setattr("keyturn.endpoints.audit.audit._SHUTDOWN_TIMEOUT", 60)
    turns, is_done = 0, False
    while not is_done:
        turns, api = turns + 1, PausingSecret()
        audit = replica(api)
        audit.endpoint.is_ready = True
        for number in range(30):
            access = Access(START, "get", str(number), SubjectKind.USER, "shop", "auth")
            audit.watcher.record.read.note(AccessScope("shop", "auth"), access)
        writing = asyncio.create_task(audit.sync())
        for _ in range(turns):
            await asyncio.sleep(0)
        is_done = not writing.cancel()
        await asyncio.wait([writing])
        await audit.aclose()

        after = replica(api)
        await after.sync()
        expected = {str(number): 1 for number in range(30)}
        assert readers(audit) == readers(after) == expected, f"interrupted in turn {turns}"
    assert turns > 5


@dataclass
class PausingSecret(OneSecret):
    """An API server that takes turns of the event loop before a write and for its answer."""

    async def create(self, path: str, body: Body) -> Body:
        await asyncio.sleep(0)
        written = await super().create(path, body)
        await asyncio.sleep(0)
        return written


async def in_one_turn(doing: Callable[..., Any], *args: Any) -> Any:
    """Work as in a thread that takes one turn of the event loop."""
    await asyncio.sleep(0)
    return doing(*args)


async def test_no_event_is_taken_before_we_know_our_own_name(
    replica: Callable[..., Audit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyturn.endpoints.audit.audit._RETRY_DELAY", 0)
    api = OneSecret(refusal=errors.Unavailable)
    audit = replica(api)
    running = asyncio.create_task(audit.run())
    async with asyncio.timeout(60):
        while api.refused < 3:  # noqa: ASYNC110 - it asks again by itself
            await asyncio.sleep(0)
        assert not audit.endpoint.is_ready
        api.refusal = None
        while not audit.endpoint.is_ready:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert audit.watcher.is_ourselves("system:serviceaccount:keyturn-system:keyturn")
    await audit.aclose()
