"""How what was seen gets into its Secret, whatever the API server says to that."""

from __future__ import annotations

import asyncio
import copy
import secrets
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

from keyturn.checklist.monitor import ClusterEvidence
from keyturn.core.keys import ObjectKey
from keyturn.endpoints.audit import Audit, AuditSettings, persistence
from keyturn.endpoints.audit.access_log import AccessLog, AccessScope
from keyturn.endpoints.audit.event import Access, SubjectKind, parse
from keyturn.kube import errors
from sandbox.pki import Authority
from tests.unit.endpoints.audit.audit_events import ALICE, API, START, at, event
from tests.unit.endpoints.audit.test_classifier import cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from keyturn.kube.cache.cache import InformerCache
    from keyturn.kube.client import Api, Body

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
        return Audit(settings, cast("Api", api), NAMESPACE, mirror or cache(), lambda: clock.now)

    return made


def take(audit: Audit, *users: str) -> None:
    for user in users:
        one = parse(event(user=user, name="login"))
        assert one
        audit._watcher.take(one)


def readers(audit: Audit) -> dict[str, int]:
    found = audit.readership("shop", ["auth"], START - timedelta(days=1))
    return {one.subject: one.count for _, one in found.readers}


async def test_a_record_is_made_once_there_is_something_and_again_only_if_a_subject_is_new(
    replica: Callable[..., Audit],
) -> None:
    api = OneSecret()
    audit = replica(api)
    assert await audit._sync()
    assert api.body is None
    for users in ((API,), (API,), (), (ALICE,)):
        take(audit, *users)
        await audit._sync()
    assert api.writes == 2


async def test_counts_of_who_is_known_follow_after_ten_minutes(
    replica: Callable[..., Audit], clock: Clock
) -> None:
    api = OneSecret()
    audit = replica(api)
    take(audit, API)
    await audit._sync()
    take(audit, API)
    clock.now += timedelta(minutes=9)
    await audit._sync()
    assert api.writes == 1
    clock.now += timedelta(minutes=2)
    await audit._sync()
    assert api.writes == 2
    await audit._sync()
    assert api.writes == 2


async def test_two_replicas_that_write_at_once_lose_nothing(replica: Callable[..., Audit]) -> None:
    api = OneSecret()
    one, other = replica(api), replica(api)
    await one._sync()
    take(one, API, ALICE)
    take(other, API)
    assert await one._sync()
    await other._sync()

    def meanwhile() -> None:
        api.before_write = lambda: None
        assert api.body
        api.version += 1
        api.body["metadata"]["resourceVersion"] = str(api.version)

    take(one, "bob")
    take(other, "eve")
    api.before_write = meanwhile
    for audit in (one, other, one, other, one):
        assert await audit._sync()
    assert readers(one) == readers(other) == {API: 2, ALICE: 1, "bob": 1, "eve": 1}


async def test_readers_of_a_secret_stay_while_its_object_is_deleted(replica: Callable[..., Audit]) -> None:
    api, mirror = OneSecret(), cache()
    one, other = replica(api, mirror), replica(api, mirror)
    take(one, ALICE)
    for audit in (one, other):
        await audit._sync()

    mirror.drop_managed(AUTH)
    for audit in (one, other):
        await audit._sync()
    metadata = {"name": "auth", "namespace": "shop", "uid": "2", "resourceVersion": "3"}
    mirror.put_managed({"metadata": metadata, "spec": {}})
    take(one, "bob")
    for audit in (one, other):
        await audit._sync()

    after = replica(api, mirror)
    await after._sync()
    assert readers(one) == readers(other) == readers(after) == {ALICE: 1, "bob": 1}


async def test_a_full_log_is_exchanged_in_slices(
    replica: Callable[..., Audit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Audit, "_exists", lambda *_: True)
    api = OneSecret()
    full, other = replica(api), replica(api)
    for number in range(25_000):
        scope = AccessScope(f"team-{number % 100}", f"s{number % 1000}")
        for audit in (full, other):
            access = Access(START, "get", f"{number}-{id(audit)}", SubjectKind.USER, *scope)
            audit.journal.note(scope, access)
    work = Work(monkeypatch)

    await full._sync()
    await other._sync()
    await full._sync()

    assert work.total > 100_000
    assert work.longest <= 1_000


@dataclass
class Work:
    """Counts how many entries the event loop processes in one turn."""

    monkeypatch: pytest.MonkeyPatch
    total: int = 0
    longest: int = 0
    _in_turn: int = 0

    def __post_init__(self) -> None:
        thread, loop = threading.get_ident(), asyncio.get_running_loop()

        def counting(doing: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*args: Any, **named: Any) -> Any:
                self.total += 1
                if threading.get_ident() == thread:
                    if not self._in_turn:
                        loop.call_soon(self._end_turn)
                    self._in_turn += 1
                return doing(*args, **named)

            return counted

        for place, name in (
            (persistence, "RecordRow"),
            (persistence, "_written"),
            (persistence, "_entry"),
            (AccessLog, "merge"),
        ):
            self.monkeypatch.setattr(place, name, counting(getattr(place, name)))

    def _end_turn(self) -> None:
        self.longest, self._in_turn = max(self.longest, self._in_turn), 0


def test_an_event_years_ahead_proves_the_access_log_for_minutes(
    settings: AuditSettings, clock: Clock
) -> None:
    proof = ClusterEvidence()
    audit = Audit(settings, cast("Api", OneSecret()), NAMESPACE, cache(), lambda: clock.now, proof)
    audit._watcher.is_ourselves = lambda subject: subject == API
    for time in (at(days=3650), at(days=1)):
        one = parse(event(name="login", time=time))
        assert one
        audit._watcher.take(one)

    assert proof.logged == at(days=1, minutes=1)


async def test_a_foreign_secret_is_not_touched(replica: Callable[..., Audit]) -> None:
    api = OneSecret()
    api._written({"metadata": {"name": "keyturn-access"}, "type": "Opaque", "data": {}})
    before = copy.deepcopy(api.body)
    audit = replica(api)
    take(audit, API)
    with capture_logs() as logs:
        assert await audit._sync()
    assert api.body == before
    assert [one["event"] for one in logs] == ["access log not persisted"]


async def test_a_record_that_was_spoiled_begins_again(replica: Callable[..., Audit]) -> None:
    api = OneSecret()
    audit = replica(api)
    take(audit, API)
    await audit._sync()
    assert api.body
    api.body["data"]["journal"] = "eA=="
    api.version += 1
    api.body["metadata"]["resourceVersion"] = str(api.version)
    take(audit, ALICE)
    assert await audit._sync()
    after = replica(api)
    await after._sync()
    assert readers(after) == {API: 1, ALICE: 1}


async def test_without_the_right_to_it_continues_without_a_record(
    replica: Callable[..., Audit],
) -> None:
    audit = replica(OneSecret(refusal=errors.Forbidden))
    take(audit, API)
    assert await audit._sync()
    assert readers(audit) == {API: 1}


async def test_what_could_not_be_written_is_written_when_the_api_server_is_back(
    replica: Callable[..., Audit],
) -> None:
    api = OneSecret()
    audit = replica(api)
    take(audit, API)
    api.refusal = errors.Unavailable
    assert not await audit._sync()
    api.refusal = None
    assert await audit._sync()
    assert api.writes == 1


async def test_what_was_accepted_is_counted_and_written_at_the_end(
    replica: Callable[..., Audit],
) -> None:
    api = OneSecret()
    audit = replica(api)
    running = asyncio.create_task(audit.run())
    async with asyncio.timeout(60):
        await audit._is_ready.wait()
    running.cancel()
    await asyncio.wait([running])
    one = parse(event(name="login"))
    assert one
    audit._intake.add([one, one])
    await audit.aclose()

    after = replica(api)
    await after._sync()
    assert readers(after) == {API: 2}


async def test_reads_are_neither_lost_nor_counted_twice_wherever_a_shutdown_interrupts_a_write(
    replica: Callable[..., Audit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Audit, "_exists", lambda *_: True)
    monkeypatch.setattr("keyturn.runtime.threadpools.run_own", in_one_turn)
    monkeypatch.setattr("keyturn.endpoints.audit.audit._SHUTDOWN_TIMEOUT", 60)
    names = [f"s{number}" for number in range(12)]

    def counts(audit: Audit) -> list[int]:
        return [one.count for _, one in audit.readership("shop", names, START).readers]

    turns, is_done = 0, False
    while not is_done:
        turns, api = turns + 1, PausingSecret()
        audit = replica(api)
        audit._is_ready.set()
        for number in range(600):
            access = Access(START, "get", str(number), SubjectKind.USER, "shop", names[number % 12])
            audit.journal.note(AccessScope("shop", access.name), access)
        writing = asyncio.create_task(audit._sync())
        for _ in range(turns):
            await asyncio.sleep(0)
        is_done = not writing.cancel()
        await asyncio.wait([writing])
        await audit.aclose()

        after = replica(api)
        await after._sync()
        assert counts(audit) == counts(after) == [1] * 600, f"interrupted in turn {turns}"
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


async def test_nothing_is_judged_before_we_know_our_own_name(
    replica: Callable[..., Audit], counted: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyturn.endpoints.audit.audit._RETRY_DELAY", 0)
    api = OneSecret(refusal=errors.Unavailable)
    audit = replica(api)
    one = parse(event(name="login"))
    assert one
    audit._intake.add([one])
    running = asyncio.create_task(audit.run())
    async with asyncio.timeout(60):
        while api.refused < 3:  # noqa: ASYNC110 - it asks again by itself
            await asyncio.sleep(0)
        assert counted("secret_access_total") == {}
        api.refusal = None
        while not counted("secret_access_total"):  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    await audit.aclose()


def test_files_that_cannot_be_used_are_reported_once_and_read_again_each_time(
    replica: Callable[..., Audit], settings: AuditSettings
) -> None:
    assert settings.token_file
    audit, token = replica(OneSecret()), settings.token_file.read_text()
    with capture_logs() as logs:
        for content in ("short", "short", None, token, "short"):
            settings.token_file.unlink(missing_ok=True)
            if content is not None:
                settings.token_file.write_text(content)
            audit._follow_files()

    refused = "audit files not reloaded"
    assert [one["event"] for one in logs] == [refused, refused, "audit files reloaded", refused]
    assert ["characters" in one.get("reason", "") for one in logs] == [True, False, False, True]
