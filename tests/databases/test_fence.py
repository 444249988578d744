"""A process that lost the leadership, or was stopped for a while, changes nothing at a server."""

import asyncio
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from keyturn.databases.base import Account, Answer, Limits, Login, Template
from keyturn.databases.engines.postgresql import connecting
from keyturn.databases.errors import Busy, DatabaseError, Fenced, Unreachable
from sandbox.harness import eventually
from tests.databases.servers import Fences, Place, account, new_login, open_fence, opened

_SECONDS = 60.0
_MANY = 20
_TRIES = 10


class Stop:
    """A fence that stops the process in the lock until it is told to continue."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.continued = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.continued.wait()


class CountedOpening(connecting.Opening):
    """Counts those that are open at the same time, on this side: a server may notice an end later."""

    _open: ClassVar[set[int]] = set()
    most: ClassVar[int] = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open.add(id(self))
        CountedOpening.most = max(CountedOpening.most, len(self._open))

    def leave(self) -> None:
        self._open.discard(id(self))
        super().leave()


class ApiServerGone(Exception):  # noqa: N818
    """An error that a fence of the operator may raise."""


async def test_what_is_fenced_changes_nothing(weak: Place) -> None:
    owned = account()
    (live,) = await opened(weak, owned, owned.logins[0])
    engine, fence, absent = weak.engine(), Fences(refused_from=1), account()
    with weak.session(live) as session:
        for doing in (
            engine.create(absent, Template(), fence),
            engine.bring(owned, (new_login(owned.logins[1]),), fence),
            engine.end_sessions(owned, live.name, fence),
            engine.retire(owned, fence),
        ):
            with pytest.raises(Fenced):
                await doing
        assert session.execute("SELECT 1").fetchone() == (1,)

    assert fence.calls == 4
    assert not (await engine.find(absent)).owner.exists
    assert (await engine.find(owned)).mark == owned.mark
    assert (await engine.prove(live)).answer is Answer.ACCEPTED
    assert weak.powers(owned.logins[1]) == (False, False)


async def test_an_error_of_the_fence_is_raised_as_it_is(newest: Place) -> None:
    owned = account()
    await opened(newest, owned)

    async def fence() -> None:
        raise ApiServerGone

    with pytest.raises(ApiServerGone):
        await newest.engine().bring(owned, (new_login(owned.logins[0]),), fence)

    assert newest.powers(owned.logins[0]) == (False, False)


async def test_one_process_at_a_time_changes_an_account(weak: Place) -> None:
    owned = account()
    await opened(weak, owned)
    one, two, stop = new_login(owned.logins[0]), new_login(owned.logins[1]), Stop()
    first = asyncio.create_task(weak.engine().bring(owned, (one,), stop))
    await asyncio.wait_for(stop.reached.wait(), _SECONDS)

    with pytest.raises(Busy):
        await weak.engine().bring(owned, (two,), open_fence)
    stop.continued.set()
    await asyncio.wait_for(first, _SECONDS)
    await weak.engine().bring(owned, (two,), open_fence)

    assert (await weak.engine().prove(two)).answer is Answer.ACCEPTED
    assert (await weak.engine().prove(one)).answer is Answer.REFUSED


async def test_a_change_of_another_session_at_the_same_time_is_retried(weak: Place) -> None:
    """The server has no code for it but that of its internal errors."""
    owned = account()
    (live,) = await opened(weak, owned, owned.logins[0])
    with weak.server.connect() as other:
        other.execute(f"BEGIN; ALTER ROLE {live.name} CONNECTION LIMIT 9".encode())
        changing = asyncio.create_task(weak.engine().bring(owned, (live,), open_fence))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = "
        await asyncio.to_thread(
            eventually,
            lambda: weak.server.execute(f"{waiting}'{weak.admin.name}'") == [(1,)],
            "the change waits for the other session",
        )
        other.execute(b"COMMIT")

        with pytest.raises(Busy):
            await changing
    await weak.engine().bring(owned, (live,), open_fence)


async def test_an_internal_error_of_the_server_is_no_change_of_another_session(newest: Place) -> None:
    trigger = f"fails_{account().owner}"
    newest.server.execute(
        f"CREATE FUNCTION {trigger}() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF current_user = '{newest.admin.name}' THEN RAISE 'canary' USING ERRCODE = 'XX000'; END IF; END $$",
        f"CREATE EVENT TRIGGER {trigger} ON ddl_command_start WHEN TAG IN ('GRANT') EXECUTE FUNCTION {trigger}()",
    )
    try:
        with pytest.raises(DatabaseError) as failure:
            await newest.engine().create(account(), Template(("public",)), open_fence)
    finally:
        newest.server.execute(f"DROP EVENT TRIGGER {trigger}", f"DROP FUNCTION {trigger}")

    assert failure.value.code == "InternalError"
    assert "canary" not in f"{failure.value!r} {failure.value.__context__!r}"


async def test_a_process_that_stops_in_the_lock_loses_it_to_its_successor(weak: Place) -> None:
    owned = account()
    await opened(weak, owned)
    stale, current = new_login(owned.logins[0]), new_login(owned.logins[1])
    stopped, stop = await stopped_in_lock(replace(weak, settings={"idle_timeout": 0.5}), owned, stale)
    await brought_once_free(weak, owned=owned, live=current)

    stop.continued.set()
    with pytest.raises(Unreachable):
        await asyncio.wait_for(stopped, _SECONDS)
    assert (await weak.engine().prove(current)).answer is Answer.ACCEPTED
    assert (await weak.engine().prove(stale)).answer is Answer.REFUSED


async def test_a_cancelled_change_is_undone_and_its_lock_free(newest: Place) -> None:
    owned = account()
    await opened(newest, owned)
    one, two, stop = new_login(owned.logins[0]), new_login(owned.logins[1]), Stop()
    changing = asyncio.create_task(newest.engine().bring(owned, (one,), stop))
    await asyncio.wait_for(stop.reached.wait(), _SECONDS)
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    await brought_once_free(newest, owned=owned, live=two)

    assert [(await newest.engine().prove(login)).answer for login in (one, two)] == [
        Answer.REFUSED,
        Answer.ACCEPTED,
    ]


async def test_more_rotations_than_connections_take_ten_connections(
    newest: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "Opening", CountedOpening)
    monkeypatch.setattr(CountedOpening, "most", 0)
    engine = newest.engine(Limits())
    accounts = [account() for _ in range(_MANY)]

    async def rotate(number: int) -> Answer:
        owned = accounts[number]
        await engine.create(owned, Template(), open_fence)
        old, new = (new_login(name) for name in owned.logins)
        await engine.bring(owned, (old,), open_fence)
        await engine.bring(owned, (old, new), open_fence)
        assert (await engine.prove(new)).answer is Answer.ACCEPTED
        await engine.bring(owned, (new,), open_fence)
        return (await engine.prove(old)).answer

    answers = await asyncio.gather(*(rotate(number) for number in range(_MANY)))

    assert set(answers) == {Answer.REFUSED}
    assert 2 <= CountedOpening.most <= 10


async def stopped_in_lock(place: Place, owned: Account, live: Login) -> tuple[asyncio.Task[None], Stop]:
    """Stop in the lock; again where the server ended the session before, as this process was held up on its way."""
    for _ in range(_TRIES):
        stop = Stop()
        stopped = asyncio.create_task(place.engine().bring(owned, (live,), stop))
        reached = asyncio.create_task(stop.reached.wait())
        await asyncio.wait((stopped, reached), timeout=_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if reached.done():
            return stopped, stop
        reached.cancel()
        with pytest.raises(Unreachable):
            await stopped
    raise AssertionError("the server ended each session before it was in the lock")


async def brought_once_free(place: Place, *, owned: Account, live: Login) -> None:
    """Bring a login as soon as the lock is free."""
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                return await place.engine().bring(owned, (live,), open_fence)
            except Busy:
                await asyncio.sleep(0.05)
