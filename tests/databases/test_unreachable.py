"""A server that does not answer is never one that refuses, and every call ends in time."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import Answer, Endpoint, EngineSettings, Limits, Login, Tls
from keyturn.databases.client import health_of
from keyturn.databases.engines.postgresql import Postgresql
from keyturn.databases.errors import DatabaseError, Overloaded, ReadOnly, Unauthorized, Unreachable
from sandbox.databases import PostgresServer
from sandbox.pki import Authority
from tests.databases.servers import Place, account, new_login, open_fence, opened, prove_patiently

_QUICK = {"connect_timeout": 1.0, "statement_timeout": 1.0}
"""The limits of calls to a server that is frozen."""
_LONGEST = 120.0
"""Seconds after which a call counts as one without an end; its limits of time are at most half of that."""
_TRIES, _PAUSE = 10, 0.5
OTHER = Authority.new("other").pair


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that tests stop; each leaves it running."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own(own_server: PostgresServer) -> Place:
    return Place.of_superuser(own_server)


async def failing(doing: Awaitable[object]) -> DatabaseError:
    with pytest.raises(DatabaseError) as refusal:
        async with asyncio.timeout(_LONGEST):
            await doing
    return refusal.value


async def failing_in_time(doing: Callable[[], Awaitable[object]]) -> DatabaseError:
    """Return the error of a call with short limits; it is made again where no thread was free within them."""
    for _ in range(_TRIES):
        error = await failing(doing())
        if not isinstance(error, Overloaded):
            return error
    raise AssertionError("no thread was free")


async def unknown(place: Place, login: Login, *, is_silence: bool = True) -> str:
    """Return the reason why nothing is known about a login, which may be an answer of the server."""
    async with asyncio.timeout(_LONGEST):
        verdict = await prove_patiently(place.engine().settings, login)
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.message
    assert verdict.is_silence is is_silence
    return verdict.reason


async def test_a_stopped_server_refuses_the_connection_and_not_the_password(own: Place) -> None:
    owned = account()
    (login,) = await opened(own, owned, owned.logins[0])
    own.server.stop()
    try:
        errors = [
            await failing(doing)
            for doing in (
                own.engine().check(),
                own.engine().find(owned),
                own.engine().bring(owned, (login,), open_fence),
            )
        ]
        reason = await unknown(own, login)
    finally:
        own.server.start()

    assert [(type(error), error.code) for error in errors] == [(Unreachable, "ConnectionRefused")] * 3
    assert reason == "ConnectionRefused"
    assert (await own.engine().prove(login)).answer is Answer.ACCEPTED


async def test_a_frozen_server_is_left_in_time(own: Place) -> None:
    owned = account()
    (login,) = await opened(own, owned, owned.logins[0])
    quick = replace(own, settings=_QUICK)
    own.server.freeze()
    try:
        error = await failing_in_time(lambda: quick.engine().bring(owned, (login,), open_fence))
        reason = await unknown(quick, login)
    finally:
        own.server.thaw()

    assert (type(error), error.code) == (Unreachable, "Timeout")
    assert reason == "Timeout"
    assert (await own.engine().prove(login)).answer is Answer.ACCEPTED


async def test_a_server_that_freezes_before_a_statement_is_left_in_time_and_the_change_undone(
    own: Place,
) -> None:
    owned = account()
    old, new = await opened(own, owned, *owned.logins)
    quick = replace(own, settings={"statement_timeout": _QUICK["statement_timeout"]})
    frozen = False

    async def freeze() -> None:
        nonlocal frozen
        own.server.freeze()
        frozen = True

    try:
        for _ in range(_TRIES):  # a statement before the fence may take longer than the limit
            error = await failing(quick.engine().bring(owned, (new,), freeze))
            if frozen:
                break
            await asyncio.sleep(_PAUSE)
    finally:
        own.server.thaw()

    assert frozen
    assert (type(error), error.code) == (Unreachable, "Timeout")
    assert (await own.engine().prove(old)).answer is Answer.ACCEPTED


async def test_a_server_that_crashes_before_a_statement_undoes_the_change(own: Place) -> None:
    owned = account()
    old, new = await opened(own, owned, *owned.logins)

    async def crash() -> None:
        own.server.kill()

    try:
        error = await failing(own.engine().bring(owned, (new,), crash))
    finally:
        own.server.start()

    assert isinstance(error, Unreachable)
    assert (await own.engine().prove(old)).answer is Answer.ACCEPTED


async def test_a_standby_takes_no_change(own: Place) -> None:
    owned = account()
    (login,) = await opened(own, owned, owned.logins[0])
    own.server.stop()
    signal = own.server.data / "standby.signal"
    signal.touch()
    try:
        own.server.start()
        errors = [
            await failing(doing)
            for doing in (own.engine().check(), own.engine().bring(owned, (login,), open_fence))
        ]
        accepted = (await own.engine().prove(login)).answer
    finally:
        own.server.stop()
        signal.unlink()
        own.server.start()

    assert [(type(error), error.code) for error in errors] == [(ReadOnly, "Standby")] * 2
    assert accepted is Answer.ACCEPTED


async def test_a_server_that_is_read_only_by_default_takes_the_change(own: Place) -> None:
    owned = account()
    (login,) = await opened(own, owned, owned.logins[0])
    session, other = "SET default_transaction_read_only = off", new_login(login.name)
    own.server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        assert (await own.engine().check()).lacks == ()
        await own.engine().bring(owned, (other,), open_fence)
    finally:
        own.server.execute(
            session, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"
        )

    assert (await own.engine().prove(other)).answer is Answer.ACCEPTED


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("ALTER ROLE {login} CONNECTION LIMIT 0", "TooManyConnections"),
        ("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC", "ConnectDenied"),
        ("ALTER DATABASE {database} ALLOW_CONNECTIONS false", "State55000"),
    ],
    ids=["too many connections", "no CONNECT", "no connections"],
)
async def test_what_else_a_server_refuses_is_no_refusal_of_the_password(
    any_server: PostgresServer, statement: str, reason: str
) -> None:
    owned = account()
    place = Place.of_superuser(any_server)
    (login,) = await opened(place, owned, owned.logins[0])
    any_server.execute(f"CREATE DATABASE {owned.owner}")
    any_server.execute(statement.format(login=login.name, database=owned.owner))

    there = replace(place, database=owned.owner)
    assert await unknown(there, login, is_silence=False) == reason


async def test_a_database_that_does_not_exist_is_named(any_server: PostgresServer) -> None:
    place = replace(Place.of_superuser(any_server), database="no_such_database")
    error = await failing(place.engine().check())

    assert (type(error), error.code) == (Unreachable, "DatabaseMissing")
    assert await unknown(place, place.admin, is_silence=False) == "DatabaseMissing"


async def test_the_admins_wrong_password_is_the_admins(any_server: PostgresServer) -> None:
    place = replace(Place.of_superuser(any_server), admin=new_login("postgres"))
    error = await failing(place.engine().check())

    assert (type(error), error.code) == (Unauthorized, "AdminRefused")


async def test_the_admins_wrong_password_is_one_failed_login(any_server: PostgresServer) -> None:
    right, owned = Place.of_new_admin(any_server), account()
    wrong = replace(right, admin=new_login(right.admin.name))
    limits = Limits()
    for _ in range(3):
        errors = [
            await failing(doing)
            for doing in (
                wrong.engine(limits).check(),
                wrong.engine(limits).find(owned),
                wrong.engine(limits).bring(owned, (), open_fence),
            )
        ]
        assert [(type(error), error.code) for error in errors] == [(Unauthorized, "AdminRefused")] * 3
        await right.engine(limits).check()

    failed = f'password authentication failed for user "{right.admin.name}"'
    assert any_server.log.read_text().count(failed) == 1


async def test_a_name_that_pg_hba_does_not_admit_is_not_refused() -> None:
    hba = ("local all postgres trust", "hostssl all postgres 127.0.0.1/32 scram-sha-256")
    with PostgresServer(hba=hba) as server:
        place, owned = Place.of_superuser(server), account()
        (login,) = await opened(place, owned, owned.logins[0])

        assert await unknown(place, login, is_silence=False) == "NotAdmitted"


async def test_a_host_that_does_not_exist_is_named(newest: Place) -> None:
    endpoint = Endpoint("no-such-host.invalid", 5432)
    verdict = await newest.engine().prove(new_login("app"), endpoint)

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "HostNotFound")


async def test_a_host_that_is_not_allowed_is_not_connected_to() -> None:
    async def resolve(endpoint: Endpoint) -> tuple[str, ...]:
        raise Unreachable("HostNotAllowed", f"{endpoint.host} is not allowed")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        endpoint, admin = Endpoint("127.0.0.1", port), new_login("admin")
        engine = Postgresql(EngineSettings(endpoint, "postgres", admin, resolve=resolve))
        verdict = await engine.prove(new_login("app"))
        error = await failing(engine.check())

        assert (verdict.reason, error.code) == ("HostNotAllowed", "HostNotAllowed")
        with pytest.raises(TimeoutError):
            listener.accept()


async def test_the_admin_uses_the_next_address_of_a_host_if_the_first_refuses(own: Place) -> None:
    async def resolve(_: Endpoint) -> tuple[str, ...]:
        return "127.0.0.2", "127.0.0.1"

    settings = replace(own.engine().settings, resolve=resolve)

    assert (await Postgresql(settings).check()).lacks == ()


async def test_the_authorities_of_the_system_are_used_without_others(own: Place) -> None:
    settings = replace(own.engine().settings, tls=Tls())
    verdict = await Postgresql(settings).prove(own.admin)

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "CertificateNotTrusted")


@pytest.mark.parametrize(
    "ca",
    [b"", b"\x30\x82\x01\x0a", OTHER.key, OTHER.certificate[:200]],
    ids=["empty", "DER", "a key", "cut off"],
)
async def test_authorities_that_cannot_be_read_are_no_silence_of_the_server(own: Place, ca: bytes) -> None:
    with pytest.raises(DatabaseError) as failure:
        await Postgresql(replace(own.engine().settings, tls=Tls(ca))).check()

    health = health_of(failure.value)
    assert (failure.value.code, health.reason) == ("CertificateAuthorityUnreadable", "CertificateInvalid")
    assert "tls.caRef" in health.message


async def test_a_plain_connection_is_only_made_where_it_is_allowed() -> None:
    hba = ("local all postgres trust", "host all all 127.0.0.1/32 scram-sha-256")
    with PostgresServer(hba=hba, settings={"ssl": "off"}) as server:
        place = Place.of_superuser(server)
        with_tls = await place.engine().prove(place.admin)
        without = await Postgresql(replace(place.engine().settings, tls=None)).prove(place.admin)

    assert (with_tls.answer, with_tls.reason) == (Answer.UNKNOWN, "NoTls")
    assert without.answer is Answer.ACCEPTED


async def test_no_task_and_no_descriptor_is_left(own: Place) -> None:
    before = descriptors()  # a thread that an earlier test left may close one of them
    for password in (own.admin.password, Value.of_text("wrong-wrong-wrong")):
        await own.engine().prove(Login(own.admin.name, password))
    await own.engine().check()

    assert descriptors() <= before
    assert asyncio.all_tasks() == {asyncio.current_task()}


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}
