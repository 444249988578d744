"""How a login proceeds: with the salt of the last one, and with few changes of threads."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import Answer, Endpoint, EngineSettings, Login, Salt, Tls
from keyturn.databases.engines.postgresql import Postgresql, connecting, driver
from keyturn.databases.errors import Overloaded
from keyturn.runtime import threadpools
from sandbox.databases import PostgresServer
from sandbox.pki import Authority
from tests.databases import rogues
from tests.databases.rogues import Rogue
from tests.databases.servers import PATIENT, Place, account, new_login, open_fence, opened, plain

OURS = Authority.new("ours")
ROGUE_SALT = Salt(b"s" * 16, 4096)
"""What the rogue servers have."""
_MANY_JOBS = 10
"""More than the steps of a login whose server sends at once."""


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> list[Salt]:
    """The salts of all logins that send keys instead of a password."""
    used: list[Salt] = []
    compute = driver.keys

    def keys(password: str, salt: Salt) -> dict[str, str]:
        used.append(salt)
        return compute(password, salt)

    monkeypatch.setattr(driver, "keys", keys)
    return used


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs in threads of tenants."""
    begun: list[str] = []
    run = threadpools.run_for_tenant

    async def run_for_tenant(owner: str, doing: Callable[..., Any], *args: Any) -> Any:
        begun.append(doing.__name__)
        return await run(owner, doing, *args)

    monkeypatch.setattr(threadpools, "run_for_tenant", run_for_tenant)
    return begun


def failures(server: PostgresServer, login: Login) -> int:
    """How often the server refused the password of a login."""
    return server.log.read_text().count(f'password authentication failed for user "{login.name}"')


# The salt of the last login


async def test_a_login_with_a_known_salt_is_accepted_by_each_release(place: Place, keyed: list[Salt]) -> None:
    owned, engine = account(), place.engine()
    (login,) = await opened(place, owned, owned.logins[0])

    answers = [(await engine.prove(login)).answer for _ in range(3)]

    assert answers == [Answer.ACCEPTED] * 3
    assert keyed == [engine.settings.salts.get(place.endpoint, login.name)] * 2


async def test_a_password_that_was_set_again_has_another_salt_and_is_accepted(
    newest: Place, keyed: list[Salt]
) -> None:
    owned, engine = account(), newest.engine()
    (login,) = await opened(newest, owned, owned.logins[0])
    await engine.prove(login)
    await engine.bring(owned, (login,), open_fence)

    answers = [(await engine.prove(login)).answer for _ in range(2)]

    assert answers == [Answer.ACCEPTED] * 2
    assert failures(newest.server, login) == 0
    assert len(set(keyed)) == 2


async def test_a_recorded_password_that_was_set_again_has_the_salt_that_is_known(
    newest: Place, keyed: list[Salt]
) -> None:
    owned, engine = account(), newest.engine()
    await opened(newest, owned)
    login = replace(new_login(owned.logins[0]), credential="revision 1")
    for _ in range(2):
        await engine.bring(owned, (login,), open_fence)
        assert (await engine.prove(login)).answer is Answer.ACCEPTED

    assert keyed == [engine.settings.salts.get(newest.endpoint, login.name)]


async def test_a_wrong_password_is_refused_with_one_failed_login(newest: Place, keyed: list[Salt]) -> None:
    owned, engine = account(), newest.engine()
    (login,) = await opened(newest, owned, owned.logins[0])
    await engine.prove(login)

    verdict = await engine.prove(new_login(login.name))

    assert verdict.answer is Answer.REFUSED
    assert len(keyed) == 1
    assert failures(newest.server, login) == 1


async def test_another_password_at_the_server_is_refused_with_one_failed_login(newest: Place) -> None:
    owned, engine = account(), newest.engine()
    (login,) = await opened(newest, owned, owned.logins[0])
    await engine.prove(login)
    await engine.bring(owned, (new_login(login.name),), open_fence)

    verdict = await engine.prove(login)

    assert verdict.answer is Answer.REFUSED
    assert failures(newest.server, login) == 1


async def test_a_locked_login_is_known_by_its_salt_too(newest: Place, keyed: list[Salt]) -> None:
    owned, engine = account(), newest.engine()
    (login,) = await opened(newest, owned, owned.logins[0])
    await engine.prove(login)
    newest.server.execute(f"ALTER ROLE {login.name} NOLOGIN")

    verdict = await engine.prove(login)

    assert verdict.answer is Answer.LOCKED
    assert len(keyed) == 1


async def test_a_password_with_other_letters_is_sent_as_libpq_normalises_it(
    newest: Place, keyed: list[Salt]
) -> None:
    owned, engine = account(), newest.engine()
    (login,) = await opened(newest, owned, owned.logins[0])
    found = Login(login.name, Value.of_text("stra\u00dfe\u00aa"))
    newest.server.execute(f"ALTER ROLE {login.name} PASSWORD '{plain(found)}'")

    answers = [(await engine.prove(found)).answer for _ in range(2)]

    assert answers == [Answer.ACCEPTED] * 2
    assert keyed == []


async def test_a_server_with_another_salt_gets_no_proof_of_the_keys() -> None:
    login = new_login("app")
    async with Rogue(rogues.accepting(plain(login), _ready), OURS) as rogue:
        engine = _engine_at(rogue)
        engine.settings.salts.put(engine.settings.endpoint, "app", Salt(b"t" * 16, 4096))
        answers = [(await engine.prove(login)).answer for _ in range(2)]

    assert answers == [Answer.ACCEPTED] * 2
    assert rogue.asked == 3  # the first login ended before its proof, and was repeated
    assert rogue.received.count(b",p=") == 2
    assert engine.settings.salts.get(engine.settings.endpoint, "app") == ROGUE_SALT


async def test_the_keys_are_known_only_to_the_server_that_has_the_password() -> None:
    login = new_login("app")
    async with Rogue(rogues.ask_scram, OURS) as rogue:
        engine = _engine_at(rogue)
        engine.settings.salts.put(engine.settings.endpoint, "app", ROGUE_SALT)
        verdict = await engine.prove(login)

    assert verdict.answer is Answer.UNKNOWN
    sent = driver.keys(plain(login), ROGUE_SALT)
    assert not [key for key in sent.values() if key.rstrip("=").encode() in rogue.received]


async def test_a_server_that_does_not_ask_for_a_password_is_asked_once() -> None:
    async with Rogue(rogues.refusing("53300"), OURS) as rogue:
        engine = _engine_at(rogue)
        engine.settings.salts.put(engine.settings.endpoint, "app", ROGUE_SALT)
        verdict = await engine.prove(new_login("app"))

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "TooManyConnections")
    assert rogue.asked == 1


# Threads


async def test_a_login_alone_needs_one_job_in_a_thread(
    newest: Place, jobs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owned, engine = account(), newest.engine()
    (login,) = await opened(newest, owned, owned.logins[0])
    monkeypatch.setattr(connecting, "_PATIENCE", 30.0)
    monkeypatch.setattr(connecting, "_LONGEST", 30.0)
    jobs.clear()

    verdict = await engine.prove(login)

    assert verdict.answer is Answer.ACCEPTED
    assert jobs == ["advance"]


async def test_a_login_next_to_others_waits_for_the_server_outside_of_threads(
    newest: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned, engine = account(), newest.engine()
    (login,) = await opened(newest, owned, owned.logins[0])
    patiences, advance = set[float](), connecting.Opening.advance

    def advancing(opening: connecting.Opening, patience: float) -> int:
        patiences.add(patience)
        return advance(opening, patience)

    monkeypatch.setattr(connecting.Opening, "advance", advancing)
    with connecting._LOGINS.one():
        verdict = await engine.prove(login)

    assert verdict.answer is Answer.ACCEPTED
    assert patiences == {0.0}


async def test_a_server_that_sends_little_by_little_holds_no_thread(jobs: list[str]) -> None:
    """A thread that waits for the end of the login is the last job, and the server does not end before."""
    login = new_login("app")

    async def trickle(talk: rogues.Talk) -> None:
        while len(jobs) < _MANY_JOBS:
            await talk.send(b"S", b"setting\0value\0")
            await asyncio.sleep(0.005)
        await _ready(talk)

    async with Rogue(rogues.accepting(plain(login), trickle), OURS) as rogue:
        verdict = await _engine_at(rogue, connect_timeout=30.0).prove(login)

    assert verdict.answer is Answer.ACCEPTED


async def test_a_login_that_gets_no_thread_says_nothing_about_the_server(
    newest: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(*_: object) -> int:
        await asyncio.sleep(60)
        return 0

    async def resolve(endpoint: Endpoint) -> tuple[str, ...]:
        return (endpoint.host,)

    monkeypatch.setattr(threadpools, "run_for_tenant", wait)
    engine = Postgresql(replace(newest.engine().settings, connect_timeout=0.1, resolve=resolve))

    with pytest.raises(Overloaded):
        await engine.prove(new_login("app"))


def _engine_at(rogue: Rogue, **settings: float) -> Postgresql:
    endpoint = Endpoint("127.0.0.1", rogue.port)
    return Postgresql(
        EngineSettings(
            endpoint,
            "postgres",
            new_login("admin"),
            Tls(OURS.pair.certificate),
            owner=f"rogue {rogue.port}",
            **(PATIENT | settings),  # type: ignore[arg-type]  # names of numbers
        )
    )


async def _ready(talk: rogues.Talk) -> None:
    await talk.send(b"Z", b"I")
    await talk.message()
