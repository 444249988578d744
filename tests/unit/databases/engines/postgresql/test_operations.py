"""What the sessions of an admin begin with, whatever the server answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from keyturn.core.spec.references import Capacity
from keyturn.core.value import Value
from keyturn.databases import errors
from keyturn.databases.addresses import Place
from keyturn.databases.base import (
    MOST_ADMIN_CONNECTIONS,
    Account,
    Answer,
    Endpoint,
    EngineSettings,
    Limits,
    Login,
    Verdict,
    prove_refused,
)
from keyturn.databases.engines.postgresql import codes, operations
from keyturn.databases.engines.postgresql.driver import ConnectionFailed, StatementFailed
from keyturn.databases.engines.postgresql.operations import Operations
from keyturn.databases.errors import Busy, DatabaseError, Overloaded, ReadOnly, Unauthorized

ACCOUNT = Account("orders", Capacity.alternating("orders"), "shop/orders")


async def resolve(_: Endpoint) -> tuple[str, ...]:
    return ("10.0.0.7",)


SETTINGS = EngineSettings(
    Endpoint("db.shop.svc", 5432), "orders", Login("keyturn", Value.of_text("canary")), resolve=resolve
)


class Session:
    """Answers the first statements, and refuses the next one."""

    version = 180_000
    salt = None

    def __init__(self, *rows: list[tuple[str, ...]]) -> None:
        self.sent: list[str] = []
        self._rows = iter(rows)

    async def query(self, text: str, *_: str) -> list[tuple[str, ...]]:
        self.sent.append(text)
        rows = next(self._rows, None)
        if rows is None:
            raise StatementFailed("42601")
        return rows


def operations_at(
    session: Session, monkeypatch: pytest.MonkeyPatch, settings: EngineSettings = SETTINGS
) -> Operations:
    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[Session]:
        yield session

    monkeypatch.setattr(operations, "connect", connect)
    return Operations(settings)


async def fence() -> None:
    pass


@pytest.mark.parametrize(
    "doing",
    [
        lambda there: there.check(),
        lambda there: there.find(ACCOUNT),
        lambda there: there.create(ACCOUNT, None, fence, frozenset()),
        lambda there: there.bring(ACCOUNT, (), fence),
        lambda there: there.end_sessions(ACCOUNT, "orders_a", fence),
        lambda there: there.retire(ACCOUNT, fence),
    ],
    ids=["check", "find", "create", "bring", "end", "retire"],
)
async def test_no_query_of_the_admin_finds_functions_of_tenants(
    doing: Callable[[Operations], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function public.unnest(text[]) is a better match than that of the catalog."""
    session = Session([("",)])
    with pytest.raises(DatabaseError):
        await doing(operations_at(session, monkeypatch))

    assert "SELECT pg_catalog.set_config('search_path', '', false)" in session.sent[0]
    assert len(session.sent) >= 2


ADMIN = ("keyturn", "f", "t", "f", "f", "orders", "2026-12-01T10:00:00.000001Z")
ROLE = ("orders", "f", "", "-1", "", "t", "t", "f", "f", "f", "t")


@pytest.mark.parametrize(
    "rows",
    [
        [[]],
        [[("keyturn",)]],
        [[ADMIN, ADMIN]],
        [[("k" * 100_000, *ADMIN[1:])]],
        [[ADMIN], [("other", *ROLE[1:])]],
        [[ADMIN], [ROLE[:4]]],
        [[ADMIN], [(*ROLE[:3], "canary", *ROLE[4:])]],
        [[ADMIN], [()]],
        [[ADMIN], [ROLE], [("orders", "staff")]],
        [[ADMIN], [ROLE], [("orders", "s" * 100_000, "f", "f", "f", "f")]],
        [[ADMIN], [ROLE], [], [("orders", "", "search_path")]],
        [[ADMIN], [ROLE], [], [("orders", "d" * 100_000, "search_path", "public")]],
        [[ADMIN], [ROLE], [], [], [("orders_a", "10.0.0.1", "canary")]],
        [[ADMIN], [ROLE], [], [], [("orders_a", "canary" * 8, "1")]],
        [[ADMIN], [ROLE], [], [], [("orders_a", "10.0.0.1", "9" * 10)]],
    ],
)
async def test_an_answer_of_no_postgresql_is_an_error_without_its_text(
    rows: list[list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if len(rows) > 1:
        rows = rows + [[]] * (4 - len(rows))
    session = Session([("",)], *rows)
    with pytest.raises(DatabaseError) as refusal:
        await operations_at(session, monkeypatch).find(ACCOUNT)

    assert refusal.value.code == "UnexpectedAnswer"
    assert "canary" not in f"{refusal.value!r} {refusal.value.__context__!r}"


async def test_a_primary_that_takes_no_change_is_no_standby(monkeypatch: pytest.MonkeyPatch) -> None:
    read_only = (*ADMIN[:4], "t", *ADMIN[5:])
    with pytest.raises(ReadOnly, match="its disk may be full"):
        await operations_at(Session([("",)], [read_only]), monkeypatch).check()


@pytest.mark.parametrize("rows", [[], [()], [("t",), ("t",)], [("", "", "", "f")]])
async def test_a_lock_that_is_not_clearly_taken_is_not_taken(
    rows: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session([("",)], [], rows, [])
    with pytest.raises(Busy):
        await operations_at(session, monkeypatch).retire(ACCOUNT, fence)


async def test_a_role_that_keeps_the_lock_of_an_account_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session([("",)], [], [("", "", "", "f")], [("office_app_a",)])
    with pytest.raises(Busy) as refusal:
        await operations_at(session, monkeypatch).retire(ACCOUNT, fence)

    assert refusal.value.message.startswith("role 'office_app_a' holds the advisory lock")


async def test_a_refused_admin_is_not_tried_again_by_any_target_of_its_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred accounts would lock it with their failed logins."""
    logins = 0

    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[Session]:
        nonlocal logins
        logins += 1
        await asyncio.sleep(0)
        raise ConnectionFailed(codes.failure_of("db:5432", ":  28P01", was_asked=True))
        yield

    monkeypatch.setattr(operations, "connect", connect)
    shared = replace(SETTINGS, limits=Limits())
    steps = [Operations(replace(shared, owner=f"team-{number}")) for number in range(50)]
    first = await asyncio.gather(*(one.find(ACCOUNT) for one in steps), return_exceptions=True)
    second = await asyncio.gather(*(one.check() for one in steps), return_exceptions=True)

    assert all(isinstance(one, Unauthorized) for one in (*first, *second))
    assert len({str(one) for one in (*first, *second)}) == 1
    assert 1 <= logins <= MOST_ADMIN_CONNECTIONS


async def test_connections_of_a_tenant_wait_for_each_other_at_all_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(tenant=asyncio.Semaphore(0))
    there = operations_at(Session(), monkeypatch, replace(SETTINGS, limits=limits))
    doing = [asyncio.create_task(one) for one in (there.check(), there.prove(SETTINGS.admin, None))]
    await asyncio.sleep(0.05)
    assert not any(one.done() for one in doing)

    limits.tenant.release()
    await asyncio.wait(doing, timeout=60)
    assert all(one.done() for one in doing)


# How long a login at a host takes some of whose addresses do not answer


HOST, POOLER = Endpoint("db.shop.svc", 5432), Endpoint("pooler.shop.svc", 6432)
OLD, CURRENT = (Login(name, Value.of_text("canary")) for name in ("old", "current"))
ANSWERING = ("10.0.0.2", "10.0.0.3")
DROPPED = ("fd00::1", "fd00::2", "fd00::3")


@dataclass
class Network:
    """Addresses that answer, and others that do not."""

    found: tuple[str, ...] = (*DROPPED, *ANSWERING)
    silent: set[str] = field(default_factory=lambda: set(DROPPED))
    code: str = "Timeout"
    overloaded: str = ""
    tried: list[str] = field(default_factory=list)
    full: set[str] = field(default_factory=set)
    """Addresses of one server with one connection that is left for the login."""
    open: int = 0
    """Connections there."""
    is_full: bool = False
    """Whether none is left."""
    waiting: int = 0
    most_waiting: int = 0
    """Logins without an answer at the same time."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.settings = EngineSettings(HOST, "orders", CURRENT, resolve=self.resolve, limits=self.limits)

    async def resolve(self, _: Endpoint) -> tuple[str, ...]:
        return self.found

    @asynccontextmanager
    async def connect(self, _: object, place: Place, login: Login, *__: object) -> AsyncIterator[Any]:
        (address,) = place.addresses
        self.tried.append(address)
        if address == self.overloaded:
            raise Overloaded("NoThread", "no thread was free")
        if address in self.silent:
            self.waiting += 1
            self.most_waiting = max(self.waiting, self.most_waiting)
            await asyncio.sleep(0.01)
            self.waiting -= 1
            raise ConnectionFailed(codes.Failure(str(place), code=self.code, message=f"{address} is silent"))
        if login is OLD:
            raise ConnectionFailed(codes.Failure(str(place), "28P01", was_asked=True))
        async with self._connected(address, place):
            yield self

    @asynccontextmanager
    async def _connected(self, address: str, place: Place) -> AsyncIterator[None]:
        if address in self.full and (self.open or self.is_full):
            raise ConnectionFailed(codes.failure_of(str(place), ":  53300", was_asked=True))
        self.open += address in self.full
        await asyncio.sleep(0)
        yield
        self.open -= address in self.full

    salt = None

    async def prove(self, login: Login, endpoint: Endpoint = POOLER) -> Verdict:
        return await Operations(self.settings).prove(login, endpoint)

    async def prove_refused(self) -> Verdict:
        engine: Any = self  # it needs no more of an engine
        return await prove_refused(engine, OLD, CURRENT, POOLER)

    def count(self, addresses: Iterable[str]) -> list[int]:
        return [self.tried.count(one) for one in addresses]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(operations, "connect", network.connect)
    return network


async def test_addresses_without_an_answer_are_waited_for_together_and_once(network: Network) -> None:
    """One after the other in each of three logins, they would take longer than the step may."""
    assert (await network.prove_refused()).answer is Answer.REFUSED

    assert network.most_waiting == len(DROPPED)
    assert network.count(DROPPED) == [1, 1, 1]
    assert network.count(ANSWERING) == [3, 3]


async def test_a_family_without_an_answer_is_tried_again_after_a_minute(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(errors, "loop_time", lambda: now)
    counts = []
    for now in (0.0, 59.0, 60.0, 61.0):  # noqa: B007  # the clock reads it
        await network.prove(CURRENT)
        counts.append(network.tried.count(DROPPED[0]))

    assert counts == [1, 1, 2, 2]


async def test_an_address_that_is_new_has_its_family_tried_again(network: Network) -> None:
    await network.prove(CURRENT)
    network.found = (*network.found, "fd00::4")

    assert (await network.prove(OLD)).is_silence
    assert network.count(DROPPED) == [2, 2, 2]


async def test_an_address_beside_others_of_its_family_that_answer_is_always_tried(network: Network) -> None:
    network.silent = {ANSWERING[0], *DROPPED[1:]}
    for _ in range(2):
        assert (await network.prove(CURRENT)).is_silence

    assert network.count((*DROPPED, *ANSWERING)) == [2] * 5


async def test_a_family_is_tried_if_no_other_one_is_left(network: Network) -> None:
    await network.prove(CURRENT)
    network.found = DROPPED

    assert (await network.prove(CURRENT)).is_silence
    assert network.count(DROPPED) == [2, 2, 2]


async def test_a_family_that_refuses_connections_at_once_is_always_tried(network: Network) -> None:
    network.code = "ConnectionRefused"
    await network.prove_refused()

    assert network.count(DROPPED) == [3, 3, 3]


async def test_what_one_host_does_not_answer_another_one_may(network: Network) -> None:
    other = replace(POOLER, port=7432)
    await network.prove(CURRENT)
    await network.prove(CURRENT, other)

    assert network.count(DROPPED) == [2, 2, 2]


async def test_logins_at_several_addresses_keep_the_limit_of_the_server(network: Network) -> None:
    network.settings = replace(network.settings, limits=Limits(logins=asyncio.Semaphore(2)))
    await network.prove(CURRENT)

    assert network.most_waiting == 2


async def test_a_process_without_a_thread_says_nothing_about_any_address(network: Network) -> None:
    network.overloaded = ANSWERING[0]

    with pytest.raises(Overloaded):
        await network.prove(CURRENT)
    assert network.waiting == 0


async def test_addresses_of_one_server_with_one_free_connection_are_tried_one_after_the_other(
    network: Network,
) -> None:
    network.found, network.full = (ANSWERING[0], "fd00::9"), {ANSWERING[0], "fd00::9"}

    assert (await network.prove(CURRENT)).answer is Answer.ACCEPTED


async def test_an_address_without_a_free_connection_is_tried_twice_at_most(network: Network) -> None:
    network.found, network.full, network.is_full = ANSWERING, {ANSWERING[0]}, True

    verdict = await network.prove(CURRENT)

    assert (verdict.answer, verdict.reason) == (Answer.UNKNOWN, "TooManyConnections")
    assert network.count(ANSWERING) == [2, 1]
