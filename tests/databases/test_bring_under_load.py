"""The set of open credentials is asserted again and again while applications log in, and no login fails."""

import secrets
from collections.abc import Iterator

import pytest

from keyturn.core.spec.references import Capacity
from keyturn.core.value import Value
from keyturn.databases.base import Account, Answer, Endpoint, Engine, EngineSettings, Login, Template, Tls
from keyturn.databases.engines import engine_for
from sandbox.databases import PostgresServer
from tests.databases.assemble import assemble
from tests.databases.checker import judge
from tests.databases.journal import Journal, Kept
from tests.databases.recorder import Recorder, application
from tests.databases.server_log import SETTINGS, read_lines
from tests.databases.servers import PATIENT
from tests.support.soak import TIMES

_TIMES = 15 * TIMES
_ROTATIONS = 3 * TIMES


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings=SETTINGS) as running:
        yield running


@pytest.fixture
def engine(server: PostgresServer) -> Engine:
    kind = engine_for("postgresql")
    assert kind
    admin, password = f"keyturn_{secrets.token_hex(3)}", secrets.token_urlsafe(24)
    database = f"shop_{secrets.token_hex(3)}"
    server.execute(
        f"CREATE ROLE {admin} LOGIN CREATEROLE PASSWORD '{password}'",
        f"CREATE DATABASE {database} OWNER {admin}",
    )
    login = Login(admin, Value(password.encode()))
    endpoint = Endpoint(server.host, server.port)
    return kind(EngineSettings(endpoint, database, login, Tls(server.ca), **PATIENT))  # type: ignore[arg-type]


class _Rotator:
    """Does with an engine what the operator does, with a record in memory."""

    def __init__(self, engine: Engine, username: str) -> None:
        self.journal = Journal(f"{username}_a", f"{username}_b")
        self._engine = engine
        self._account = Account(username, Capacity.alternating(username), f"test/{username}")
        self._kept: dict[int, Kept] = {}
        self._current = 0

    async def create(self) -> None:
        await self._engine.create(self._account, Template(("public",)), _never_fenced)

    async def rotate(self) -> None:
        number = self._current + 1
        login = self._account.logins[number % 2]
        self._record(Kept(number, login, "Staged", secrets.token_urlsafe(24)))
        await self.bring()
        self._move(number, "Applied")
        assert (await self._engine.prove(self._login(number))).answer is Answer.ACCEPTED
        self._current = number
        self._move(number, "Proven")
        self.journal.publish(login, str(self._kept[number].password))
        if number > 1:
            self._move(number - 1, "Closing")
            await self.bring()
            assert (await self._engine.prove(self._login(number - 1))).answer is Answer.REFUSED
            self._record(Kept(number - 1, self._kept[number - 1].login, "Closed", None))

    async def bring(self) -> None:
        live = (one.revision for one in self._kept.values() if one.phase in {"Staged", "Applied", "Proven"})
        await self._engine.bring(self._account, tuple(self._login(number) for number in live), _never_fenced)

    def _login(self, number: int) -> Login:
        kept = self._kept[number]
        return Login(kept.login, Value(str(kept.password).encode()))

    def _move(self, number: int, phase: str) -> None:
        kept = self._kept[number]
        self._record(Kept(number, kept.login, phase, kept.password))

    def _record(self, kept: Kept) -> None:
        self._kept[kept.revision] = kept
        self.journal.record(self._current, self._kept.values())


async def _never_fenced() -> None:
    """Let each change pass."""


async def test_the_same_set_again_fails_no_login(server: PostgresServer, engine: Engine) -> None:
    rotator = _Rotator(engine, f"orders_{secrets.token_hex(3)}")
    await rotator.create()
    with Recorder([rotator.journal], {"server": application(server)}, server.conninfo(), rate=40):
        await rotator.rotate()
        for _ in range(_TIMES):
            await rotator.bring()
    evidence = assemble(rotator.journal, read_lines(server.log))

    assert judge(evidence) == []
    assert len(evidence.changes) > _TIMES


async def test_one_rotation_after_the_other_fails_no_login(server: PostgresServer, engine: Engine) -> None:
    rotator = _Rotator(engine, f"orders_{secrets.token_hex(3)}")
    await rotator.create()
    with Recorder([rotator.journal], {"server": application(server)}, server.conninfo(), rate=40) as recorder:
        for _ in range(_ROTATIONS):
            await rotator.rotate()
        recorder.try_all_closed()
    evidence = assemble(
        rotator.journal, read_lines(server.log), places={"the server's log": server.log.read_bytes()}
    )

    assert judge(evidence) == []
    assert {one.login for one in evidence.changes if one.before != one.after} == rotator.journal.logins
