"""Logins through a pooler that reads passwords from the catalogue: closed means refused there, too.

It opens sessions at the server with the keys of its clients, which fit the salt that they logged in with.
"""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from keyturn.databases.base import Answer, Login, prove_refused
from sandbox.databases import PostgresServer
from sandbox.harness import eventually
from tests.databases.pooler import Pooler
from tests.databases.server_log import SETTINGS
from tests.databases.servers import PATIENT, Place, account, new_login, open_fence, opened, plain


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(settings=SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def pooler(server: PostgresServer) -> Iterator[Pooler]:
    with Pooler(server, "postgres") as running:
        yield running


def _recorded(name: str, revision: int) -> Login:
    return replace(new_login(name), credential=f"revision {revision}")


def _client(pooler: Pooler, login: Login) -> psycopg.Connection:
    """Log in as an application that keeps its connection to the pooler."""
    patience = int(PATIENT["connect_timeout"])
    return psycopg.connect(
        **pooler.application, user=login.name, password=plain(login), connect_timeout=patience
    )


def _sessions(server: PostgresServer, login: Login, what: str = "pid") -> int:
    """Count what the pooler has open at the server."""
    query = f"SELECT count({what}) FROM pg_stat_activity WHERE usename = '{login.name}'"  # noqa: S608
    ((count,),) = server.execute(query)
    return int(count)


def _end_sessions(server: PostgresServer, login: Login) -> int:
    """Have what the pooler has open at the server end; return how many those were."""
    return _sessions(server, login, "pg_terminate_backend(pid)")


def _until_gone(server: PostgresServer, pooler: Pooler, login: Login) -> None:
    """Wait until sessions have ended, and the pooler has noticed: until then it hands a client one that is dead."""
    eventually(lambda: not _sessions(server, login), "the sessions have ended at the server")
    eventually(lambda: not pooler.sessions(login.name), "the pooler has dropped the sessions")


async def test_a_client_of_a_pooler_keeps_its_login_when_another_one_is_opened(
    server: PostgresServer, pooler: Pooler
) -> None:
    place, owned = Place.of_new_admin(server), account()
    await opened(place, owned)
    first, second = (_recorded(name, number) for number, name in enumerate(owned.logins, 1))
    await place.engine().bring(owned, (first,), open_fence)
    with _client(pooler, first) as client, _client(pooler, first) as other:
        client.execute("SELECT 1")
        client.commit()
        await place.engine().bring(owned, (first, second), open_fence)
        assert _end_sessions(server, first) == 1
        _until_gone(server, pooler, first)

        assert client.execute("SELECT current_user").fetchone() == (owned.owner,)
        assert other.execute("SELECT 1").fetchone() == (1,)  # in a second session, as the first one is in use
        assert _sessions(server, first) == 2


async def test_a_pooler_that_has_no_server_for_a_login_does_not_refuse_its_password(
    server: PostgresServer, pooler: Pooler
) -> None:
    """It answers both with the same code; the right password is in its own list of users."""
    login = new_login(account().owner)
    server.execute(f"CREATE ROLE {login.name} NOLOGIN")
    pooler.list_user(login.name, plain(login))
    engine = Place.of_superuser(server).engine()

    right = await engine.prove(login, pooler.endpoint)
    wrong = await engine.prove(new_login(login.name), pooler.endpoint)

    assert (right.answer, right.reason, right.is_silence) == (Answer.UNKNOWN, "NoServerBehind", False)
    assert (wrong.answer, wrong.reason) == (Answer.REFUSED, "ByPooler")


async def test_a_pooler_accepts_what_the_engine_opens_and_refuses_what_it_closes(
    server: PostgresServer, pooler: Pooler
) -> None:
    place, owned = Place.of_new_admin(server), account()
    await opened(place, owned)
    engine = place.engine()
    first, second = (_recorded(name, number) for number, name in enumerate(owned.logins, 1))
    for live in ((first,), (first, second)):
        await engine.bring(owned, live, open_fence)
        answers = [(await engine.prove(login, pooler.endpoint)).answer for login in live]
        assert answers == [Answer.ACCEPTED] * len(live)

    await engine.bring(owned, (second,), open_fence)

    assert (await prove_refused(engine, first, second, pooler.endpoint)).answer is Answer.REFUSED
