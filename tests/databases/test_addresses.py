"""A login is proven at each address of an endpoint, as one may be a replica or pooler that answers otherwise."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from keyturn.databases import addresses
from keyturn.databases.base import Answer, Endpoint, EngineSettings, Tls, Verdict
from keyturn.databases.engines.postgresql import Postgresql
from keyturn.databases.errors import DatabaseError
from sandbox.pki import Authority
from tests.databases import rogues
from tests.databases.rogues import Rogue, Talk
from tests.databases.servers import PATIENT, new_login, plain

OURS = Authority.new("ours")
SERVER, HOST = "primary.shop.svc", "replicas.shop.svc"
LOGIN = new_login("app")
REFUSES = rogues.refusing_after_scram("28P01")
SILENT = "127.0.0.9"
NO_ROUTE = "2001:db8::1"
_SHORT, _LONG = 3.0, 600.0


async def _ready(talk: Talk) -> None:
    await talk.send(b"Z", b"I")
    await talk.message()


ACCEPTS = rogues.accepting(plain(LOGIN), _ready)


class Servers:
    """One server for each address of a host, all with the same port."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.rogues: list[Rogue] = []

    async def start(self, *behaviours: Callable[[Talk], Awaitable[None]]) -> tuple[str, ...]:
        for number, behaviour in enumerate(behaviours, 1):
            port = self.rogues[0].port if self.rogues else 0
            rogue = Rogue(behaviour, OURS, (SERVER, HOST), address=f"127.0.0.{number}", wanted_port=port)
            self.rogues.append(await self._stack.enter_async_context(rogue))
        return tuple(rogue.address for rogue in self.rogues)

    def engine(self, *found: str) -> Postgresql:
        async def resolve(_: Endpoint) -> tuple[str, ...]:
            return found

        settings = EngineSettings(
            Endpoint(SERVER, self.rogues[0].port),
            "postgres",
            new_login("admin"),
            Tls(OURS.pair.certificate),
            resolve=resolve,
            owner="addresses",
            **PATIENT,  # type: ignore[arg-type]  # names of numbers
        )
        return Postgresql(settings)

    async def prove(self, *found: str, host: str = HOST) -> Verdict:
        return await self.engine(*found).prove(LOGIN, Endpoint(host, self.rogues[0].port))

    @property
    def asked(self) -> list[int]:
        return [rogue.asked for rogue in self.rogues]


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(stack)


@pytest.mark.parametrize(
    ("behaviour", "answer"),
    [(ACCEPTS, Answer.ACCEPTED), (REFUSES, Answer.REFUSED)],
    ids=["accepted", "refused"],
)
async def test_a_login_is_tried_at_each_address(
    servers: Servers, behaviour: Callable[[Talk], Awaitable[None]], answer: Answer
) -> None:
    found = await servers.start(behaviour, behaviour)

    assert (await servers.prove(*found)).answer is answer
    assert servers.asked == [1, 1]


@pytest.mark.parametrize("is_reversed", [False, True], ids=["first", "last"])
async def test_one_address_that_answers_otherwise_proves_nothing(
    servers: Servers, *, is_reversed: bool
) -> None:
    found = await servers.start(ACCEPTS, REFUSES)

    verdict = await servers.prove(*(reversed(found) if is_reversed else found))

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (Answer.UNKNOWN, "AnswersDiffer", False)
    assert f"({found[0]}) accepts" in verdict.message
    assert f"({found[1]}) refuses" in verdict.message


@pytest.mark.parametrize("is_first", [False, True], ids=["last", "first"])
async def test_one_address_without_an_answer_proves_nothing_and_is_named(
    servers: Servers, *, is_first: bool
) -> None:
    (address,) = await servers.start(REFUSES)

    verdict = await servers.prove(*((SILENT, address) if is_first else (address, SILENT)))

    assert (verdict.answer, verdict.is_silence) == (Answer.UNKNOWN, True)
    assert f"({SILENT})" in verdict.message


@pytest.mark.parametrize("other", [NO_ROUTE, "::1"], ids=["without a route", "without a server"])
async def test_a_family_without_an_answer_counts_for_nothing_beside_another_one(
    servers: Servers, other: str
) -> None:
    found = await servers.start(REFUSES, REFUSES)

    assert (await servers.prove(other, *found)).answer is Answer.REFUSED
    assert (await servers.prove(*found, other)).answer is Answer.REFUSED
    assert (await servers.prove(other)).is_silence
    assert servers.asked == [2, 2]


async def test_addresses_of_a_family_that_never_answer_are_waited_for_once(servers: Servers) -> None:
    """A network that drops packets takes the whole time limit of each of the three logins."""

    async def drop(_: Talk) -> None:
        await asyncio.sleep(_LONG)

    *found, third, fourth = await servers.start(ACCEPTS, ACCEPTS, drop, drop)
    engine = servers.engine(*found, f"::ffff:{third}", f"::ffff:{fourth}")
    engine = Postgresql(replace(engine.settings, connect_timeout=_SHORT))
    for _ in range(3):
        verdict = await engine.prove(LOGIN, Endpoint(HOST, servers.rogues[0].port))
        assert verdict.answer is Answer.ACCEPTED

    assert servers.asked == [3, 3, 1, 1]


async def test_a_login_at_the_server_is_tried_at_the_first_address_that_answers(servers: Servers) -> None:
    found = await servers.start(REFUSES, ACCEPTS)

    assert (await servers.prove(SILENT, *found, host=SERVER)).answer is Answer.REFUSED
    assert servers.asked == [1, 0]


async def test_an_address_with_a_wrong_setup_proves_nothing(servers: Servers) -> None:
    found = await servers.start(rogues.refusing("3D000"), REFUSES)

    verdict = await servers.prove(*found)

    assert (verdict.answer, verdict.reason, verdict.is_silence) == (Answer.UNKNOWN, "DatabaseMissing", False)


async def test_an_address_on_which_no_server_listens_beside_others_of_its_family_proves_nothing(
    servers: Servers,
) -> None:
    (address,) = await servers.start(REFUSES)

    verdict = await servers.prove(address, "127.0.0.8")

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "ConnectionRefused")
    assert "(127.0.0.8)" in verdict.message


async def test_more_addresses_than_are_tried_prove_nothing(servers: Servers) -> None:
    await servers.start(REFUSES)

    verdict = await servers.prove(*(f"127.0.1.{number}" for number in range(addresses.MOST + 1)))

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "TooManyAddresses")
    assert servers.asked == [0]


async def test_a_session_of_the_admin_is_opened_at_the_first_address_that_answers(servers: Servers) -> None:
    (address,) = await servers.start(rogues.refusing("57P03"))

    with pytest.raises(DatabaseError) as failure:
        await servers.engine(SILENT, address).check()

    assert failure.value.code == "StartingUp"
    assert servers.asked == [1]
