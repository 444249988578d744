"""What the sessions of an admin begin with, whatever the server answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import (
    MOST_ADMIN_CONNECTIONS,
    Account,
    Endpoint,
    EngineSettings,
    Limits,
    Login,
)
from keyturn.databases.engines.postgresql import codes, operations
from keyturn.databases.engines.postgresql.driver import ConnectionFailed, StatementFailed
from keyturn.databases.engines.postgresql.operations import Operations
from keyturn.databases.errors import Busy, DatabaseError, ReadOnly, Unauthorized

ACCOUNT = Account("orders", ("orders_a", "orders_b"), "shop/orders")


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
