"""No value is in a server's log, whatever is logged and whatever fails, nor in an error."""

import asyncio
import re
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from keyturn.core.value import Value
from keyturn.databases import addresses
from keyturn.databases.base import Answer, Login, Salt
from keyturn.databases.engines.postgresql import connecting, driver
from keyturn.databases.errors import DatabaseError, RefusedByPolicy
from sandbox.databases import PostgresServer
from tests.databases.servers import Place, account, new_login, new_value, open_fence, opened, plain
from tests.leaks.scan import leaks

_TIMEOUT = 30.0


async def test_no_value_is_in_the_log_of_a_server_that_logs_everything(any_server: PostgresServer) -> None:
    weak, mighty = Place.of_new_admin(any_server), Place.of_superuser(any_server)
    begin = any_server.log.stat().st_size
    owned = account()
    old, new = await opened(weak, owned, *owned.logins)
    wrong = Login(old.name, new_value())
    errors = [await error_of(place, wrong) for place in (weak, mighty)]
    await weak.engine().bring(owned, (new,), open_fence)
    for login in (old, new, wrong):
        await weak.engine().prove(login)
    await weak.engine().end_sessions(owned, old.name, open_fence)
    await weak.engine().retire(owned, open_fence)

    log = any_server.log.read_bytes()[begin:]
    values = [login.password.reveal() for login in (old, new, wrong, weak.admin, mighty.admin)]
    assert b"SCRAM-SHA-256$" in log
    assert re.search(rb"ERROR:.*\n.*STATEMENT:  ALTER ROLE .* PASSWORD 'SCRAM-SHA-256", log)
    assert leaks(values, {"log": log, "errors": "\n".join(errors).encode()}) == set()


async def test_the_search_finds_a_value_that_a_server_logs(any_server: PostgresServer) -> None:
    """The control of the test above."""
    begin = any_server.log.stat().st_size
    login = new_login(account().owner)
    any_server.execute(f"CREATE ROLE {login.name} PASSWORD '{plain(login)}'")

    assert leaks([login.password.reveal()], {"log": any_server.log.read_bytes()[begin:]})


async def error_of(place: Place, wrong: Login) -> str:
    """Return the traceback of a change whose statement with the verifier fails at the server."""
    owned = account()
    await opened(place, owned, *owned.logins)
    login = Login(owned.logins[0], wrong.password)

    async def fence() -> None:
        place.server.execute(f"ALTER ROLE {login.name} RENAME TO {login.name}_gone")

    with pytest.raises(DatabaseError) as refusal:
        await place.engine().bring(owned, (login,), fence)
    return "".join(traceback.format_exception(refusal.value)) + refusal.value.message


@asynccontextmanager
async def hashing_session(place: Place, iterations: int) -> AsyncIterator[driver.Session]:
    """A session of a server that wants a password hashed so often."""
    settings = place.engine().settings
    at = await addresses.first_place(settings, settings.endpoint)
    async with driver.connect(settings, at, place.admin, "hash") as session:
        await session.query(f"SET scram_iterations = {iterations}")
        yield session


async def test_a_server_that_wants_a_long_hash_does_not_hold_the_event_loop(
    newest: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_password = driver.verifier
    begun, may_end = threading.Event(), threading.Event()

    def hash_until_told(password: bytes, salt: Salt) -> str:
        begun.set()
        assert may_end.wait(_TIMEOUT), "the event loop waits for the hash"
        return hash_password(password, salt)

    monkeypatch.setattr(connecting, "MOST_ITERATIONS", 10_000_000)
    monkeypatch.setattr(driver, "verifier", hash_until_told)
    async with hashing_session(newest, 200_000) as session:
        hashing = asyncio.create_task(session.verifier(new_login("app"), b"s" * 16))
        assert await asyncio.to_thread(begun.wait, _TIMEOUT)
        may_end.set()
        assert (await hashing).startswith("SCRAM-SHA-256$200000:")


async def test_a_hash_that_takes_long_is_not_computed(newest: Place) -> None:
    async with hashing_session(newest, 65_537) as session:
        with pytest.raises(RefusedByPolicy) as refusal:
            await session.verifier(new_login("app"), b"s" * 16)

    assert refusal.value.code == "TooManyIterations"


# Passwords that people chose, of accounts that are adopted


@pytest.mark.parametrize(
    "password",
    [
        "Sommer-Größe-2021!",
        "tab\tinside",
        "\ufb01ne\u00a0soft\u00adhyphen",
        "new \U0001f916",
        "\u0627\u0661\u0628",
    ],
    ids=["accents", "a tab", "normalised", "unassigned", "right to left"],
)
async def test_a_password_that_was_in_use_is_set_again_as_the_server_hashes_it(
    any_server: PostgresServer, password: str
) -> None:
    place, owned = Place.of_superuser(any_server), account()
    found = Login(owned.owner, Value.of_text(password), "revision 1, try 0", was_found=True)
    any_server.execute(f"CREATE ROLE {found.name} LOGIN PASSWORD '{password}'")
    engine, new = place.engine(), new_login(owned.logins[0])
    assert (await engine.prove(found)).answer is Answer.ACCEPTED
    await engine.create(owned, None, open_fence, frozenset({found.name}))

    await engine.bring(owned, (found, new), open_fence)
    assert [(await engine.prove(one)).answer for one in (found, new)] == [Answer.ACCEPTED] * 2
    await engine.bring(owned, (new,), open_fence)
    assert [(await engine.prove(one)).answer for one in (found, new)] == [Answer.REFUSED, Answer.ACCEPTED]


@pytest.mark.parametrize("password", [b"", b"Gr\xf6\xdfe", b"a\0b"], ids=["empty", "no UTF-8", "NUL"])
async def test_a_password_that_no_client_can_send_is_no_silence_of_the_server(
    newest: Place, password: bytes
) -> None:
    owned = account()
    await opened(newest, owned)
    login = Login(owned.logins[0], Value(password), "revision 1, try 0", was_found=True)

    verdict = await newest.engine().prove(login)

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (Answer.UNKNOWN, "UnsupportedValue", False)
    assert "set another one at the server, and write it into the Secret" in verdict.message
    with pytest.raises(RefusedByPolicy) as refusal:
        await newest.engine().bring(owned, (login,), open_fence)
    assert refusal.value.message == verdict.message
