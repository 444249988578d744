"""Whose turn it is: a namespace whose stores are slow leaves room for the stores of everybody else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from keyturn.core.keys import SECRET_STORE, StoreKey
from keyturn.runtime.concurrency import KeyedLimiter
from keyturn.runtime.reach import AllowedHost, Reach
from tests.support.api_servers import answer, serving
from tests.unit.stores.fake_stores import OPERATOR, FakeStores, ref, revealed

_STORES = 250
_IN_TIME = 5.0
"""Seconds, fewer than the 10 after which the check of a slow store ends."""


async def settled() -> None:
    """Let all tasks run until each of them waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def held(turns: KeyedLimiter, name: str, inside: list[str], leave: asyncio.Event) -> None:
    async with turns.hold(name):
        inside.append(name)
        await leave.wait()


async def test_one_name_takes_its_turns_and_leaves_the_rest() -> None:
    turns, inside, leave = KeyedLimiter(each=2, everybody=3), list[str](), asyncio.Event()
    many = [asyncio.ensure_future(held(turns, "shop", inside, leave)) for _ in range(5)]
    await settled()
    assert inside == ["shop"] * 2
    other = asyncio.ensure_future(held(turns, "office", inside, leave))
    await settled()
    assert inside == ["shop", "shop", "office"]
    leave.set()
    await asyncio.gather(*many, other)
    assert inside.count("shop") == 5


async def test_all_together_take_no_more_than_there_are() -> None:
    turns, inside, leave = KeyedLimiter(each=2, everybody=3), list[str](), asyncio.Event()
    many = [asyncio.ensure_future(held(turns, name, inside, leave)) for name in "abc" for _ in range(2)]
    await settled()
    assert len(inside) == 3
    leave.set()
    await asyncio.gather(*many)


async def test_who_waits_is_served_one_of_each_name_in_turn() -> None:
    turns, order = KeyedLimiter(each=2, everybody=1), list[str]()
    await turns.take("first")

    async def served(name: str) -> None:
        async with turns.hold(name):
            order.append(name)

    waiting = [asyncio.ensure_future(served(name)) for name in ("shop", "shop", "shop", "office", "bank")]
    await asyncio.sleep(0)
    turns.release("first")
    await asyncio.gather(*waiting)
    assert order == ["shop", "office", "bank", "shop", "shop"]


async def test_the_first_of_a_name_waits_for_no_other_as_long_as_there_are_places_for_firsts() -> None:
    turns, inside, leave = KeyedLimiter(each=3, everybody=3, firsts=1), list[str](), asyncio.Event()
    names = ("shop", "shop", "shop", "office", "office", "bank")
    many = [asyncio.ensure_future(held(turns, name, inside, leave)) for name in names]
    await settled()
    assert inside == ["shop", "shop", "shop", "office"]
    leave.set()
    await asyncio.gather(*many)
    assert sorted(inside) == sorted(names)


async def test_who_goes_away_takes_no_turn() -> None:
    turns, inside, leave = KeyedLimiter(each=1, everybody=1), list[str](), asyncio.Event()
    await turns.take("shop")
    waits = [asyncio.ensure_future(held(turns, "office", inside, leave)) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()  # while it waits
    await asyncio.wait(waits[:1])
    turns.release("shop")
    waits[1].cancel()  # when it was called
    await asyncio.wait(waits[1:2])
    await asyncio.sleep(0)
    assert inside == ["office"]
    leave.set()
    await waits[2]


async def test_who_is_called_in_the_moment_in_which_it_goes_away_takes_no_turn() -> None:
    turns, inside, leave = KeyedLimiter(each=1, everybody=1), list[str](), asyncio.Event()
    await turns.take("shop")
    waits = [asyncio.ensure_future(held(turns, "office", inside, leave)) for _ in range(2)]
    await asyncio.sleep(0)
    waits[0].cancel()
    turns.release("shop")
    await settled()
    assert inside == ["office"]
    leave.set()
    await asyncio.wait(waits)


class SlowServer:
    """A Vault that keeps everybody waiting who comes with the token of the one namespace."""

    def __init__(self) -> None:
        self.address = ""
        self.waiting = self.most_waiting = 0
        self._over = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers["X-Vault-Token"] == "slow":
            self.waiting += 1
            self.most_waiting = max(self.waiting, self.most_waiting)
            await self._over.wait()
        if request.path.endswith("/lookup-self"):
            return answer(200, {"data": {}})
        return answer(200, {"data": {"data": {"value": "here"}, "metadata": {"version": 1}}})

    def end(self) -> None:
        self._over.set()

    async def until_waited_for(self, least: int) -> None:
        async with asyncio.timeout(20):
            while self.waiting < least:  # noqa: ASYNC110  # a server's thread sets no events
                await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[SlowServer]:
    slow = SlowServer()
    async with serving(slow.handle) as slow.address:
        yield slow
        slow.end()


@pytest.fixture
async def fake(server: SlowServer) -> AsyncIterator[FakeStores]:
    fake = FakeStores(Reach(OPERATOR, None, [AllowedHost("127.0.0.1")]))
    for namespace, token in (("shop", "slow"), ("office", "quick")):
        fake.secret("login", namespace, token=token)
    auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
    for number in range(_STORES):
        fake.store(f"slow-{number}", provider="vault", server=server.address, auth=auth)
    fake.store("quick", "office", provider="vault", server=server.address, auth=auth)
    yield fake
    server.end()
    await fake.stores.close()


async def test_slow_stores_of_one_namespace_hold_up_no_other(fake: FakeStores, server: SlowServer) -> None:
    slow = [
        asyncio.ensure_future(fake.stores.read(ref(f"slow-{number}"), "shop", "key"))
        for number in range(_STORES)
    ]
    await server.until_waited_for(40)
    async with asyncio.timeout(_IN_TIME):
        assert "here" in revealed(await fake.stores.read(ref("quick"), "office", "key"))
    assert server.most_waiting == 40, "the others of the namespace wait for its own"
    server.end()
    await asyncio.gather(*slow)


async def test_one_store_does_not_take_all_turns_of_its_namespace(
    fake: FakeStores, server: SlowServer
) -> None:
    slow = [
        asyncio.ensure_future(fake.stores.read(ref("slow-0"), "shop", f"key-{number}"))
        for number in range(100)
    ]
    await server.until_waited_for(20)
    other = asyncio.ensure_future(fake.stores.read(ref("slow-1"), "shop", "key"))
    await server.until_waited_for(21)
    server.end()
    await asyncio.gather(*slow, other)


async def test_no_check_waits_for_that_of_a_slow_store_of_another(
    fake: FakeStores, server: SlowServer
) -> None:
    for number in range(_STORES):
        fake.stores.health(_key("shop", f"slow-{number}"))
    await server.until_waited_for(8)
    fake.stores.health(_key("office", "quick"))
    await fake.until(lambda: fake.reason(_key("office", "quick")) is not None, _IN_TIME)
    assert server.most_waiting == 8


def _key(namespace: str, name: str) -> StoreKey:
    return StoreKey(SECRET_STORE, namespace, name)
