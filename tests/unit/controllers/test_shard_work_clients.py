"""Clients of stores and database targets: a process without the shard of an object has none that goes on."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.controllers.context import Context
from keyturn.controllers.event_handlers import EventHandlers, Key
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.restart_budget import RestartLimits
from keyturn.controllers.shard_work import Shards
from keyturn.controllers.workqueue import WorkQueue
from keyturn.core.shards import shard_of
from keyturn.databases import errors
from keyturn.databases import settings as target_settings
from keyturn.stores import settings as store_settings
from keyturn.stores.providers import provider_of
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.errors import StoreError, Unreachable
from tests.unit.databases.fake_targets import CLUSTER_KEY, KEY, OPERATOR, SHARED, FakeEngine, FakeTargets
from tests.unit.stores.fake_stores import FakeProvider, FakeStores, cluster_ref, ref
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.api.source import StoreRef

SHOP = shard_of("shop", 2)
OF_CLUSTER = shard_of("", 2)
HOUR = 3600.0


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> FakeStores:
    choose = lambda kind: FakeProvider if kind == "kept" else provider_of(kind)  # noqa: E731
    monkeypatch.setattr(store_settings, "provider_of", choose)
    return FakeStores()


@pytest.fixture
def targets(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTargets]:
    FakeEngine.reset()
    monkeypatch.setattr(target_settings, "engine_for", lambda _: FakeEngine)
    fake = FakeTargets()
    fake.target()
    fake.secret(username="keyturn", password="canary")  # noqa: S106
    yield fake
    FakeEngine.reset()


class Process:
    """One of two processes, each of which has a shard."""

    def __init__(self, fake: FakeStores | FakeTargets, *held: int) -> None:
        api: Any = fake.api
        events: Any = None
        context = Context(api, events, lambda: datetime.now(UTC), cache=fake.cache)
        if isinstance(fake, FakeStores):
            context.stores = fake.stores
        else:
            context.databases = fake.databases
        self.shards = Shards(2, RestartLimits())
        queue: WorkQueue[Key] = WorkQueue(is_open=self.shards.is_open)
        memory = Memory(context)
        self.handlers = EventHandlers(context, memory, queue, None)
        self.shards.attach(context, memory, self.handlers, queue, (nothing, nothing), nothing)
        self.shards._open = {*held}

    async def lose(self, shard: int) -> None:
        await self.shards.lose(shard, timedelta())


async def nothing() -> None: ...


def lease(name: str) -> ProviderLease:
    return ProviderLease(name, "", timedelta(hours=1))


async def logins_of_an_hour() -> int:
    before = FakeEngine.checks
    await asyncio.sleep(HOUR)
    return FakeEngine.checks - before


async def requests_of_an_hour(fake: FakeStores) -> int:
    before = len(fake.server.asked)
    await asyncio.sleep(HOUR)
    return len(fake.server.asked) - before


async def open_and_fail(fake: FakeStores, store: StoreRef) -> None:
    """Use a store that stops answering, so that it is checked until it answers."""
    fake.server.values["a"] = "canary"
    await fake.stores.read(store, "shop", "a")
    fake.server.mood = lambda _: Unreachable("NoAnswer")
    for _ in range(12):
        with contextlib.suppress(StoreError):
            await fake.stores.read(store, "shop", "a", fresh=True)
    assert await requests_of_an_hour(fake) > 100


# Loss of a shard


@in_no_time
async def test_a_target_of_a_lost_shard_is_not_checked(targets: FakeTargets) -> None:
    process = Process(targets, SHOP)
    targets.databases.health(KEY)
    assert await logins_of_an_hour() > 1

    await process.lose(SHOP)

    assert await logins_of_an_hour() == 0


@in_no_time
async def test_a_target_of_another_shard_is_checked_after_a_loss(targets: FakeTargets) -> None:
    process = Process(targets, 0, 1)
    targets.databases.health(KEY)

    await process.lose(1 - SHOP)

    assert await logins_of_an_hour() > 1


@in_no_time
async def test_accounts_of_a_held_shard_still_use_a_target_of_the_cluster(targets: FakeTargets) -> None:
    """Its identity, by which the back-offs of accounts end, does not change with the loss of its checks."""
    targets.target(CLUSTER_KEY)
    targets.secret(namespace=OPERATOR, username="keyturn", password="canary")  # noqa: S106
    process = Process(targets, 0, 1)
    targets.databases.health(CLUSTER_KEY)
    await asyncio.sleep(1)
    FakeEngine.problem = errors.Unreachable("NoAnswer", "the server does not answer")
    await asyncio.sleep(HOUR)
    FakeEngine.problem = None
    await asyncio.sleep(HOUR)
    assert targets.recovered == [CLUSTER_KEY]
    before = targets.databases.identity(SHARED, "shop")

    await process.lose(OF_CLUSTER)
    assert await logins_of_an_hour() == 0
    assert targets.databases.identity(SHARED, "shop") == before
    assert FakeEngine.closed == 0

    assert targets.databases.health(CLUSTER_KEY) is None, "what was found before the loss may be outdated"
    assert await logins_of_an_hour() > 1

    await process.lose(1 - OF_CLUSTER)
    assert await logins_of_an_hour() == 0
    assert FakeEngine.closed == 1


@in_no_time
async def test_a_store_of_a_lost_shard_is_not_asked(stores: FakeStores) -> None:
    stores.store()
    process = Process(stores, SHOP)
    await open_and_fail(stores, ref())

    await process.lose(SHOP)

    assert await requests_of_an_hour(stores) == 0


@in_no_time
async def test_a_store_of_the_cluster_is_asked_as_long_as_any_shard_is_held(stores: FakeStores) -> None:
    stores.cluster_store()
    process = Process(stores, 0, 1)
    await open_and_fail(stores, cluster_ref())

    await process.lose(OF_CLUSTER)
    assert await requests_of_an_hour(stores) > 100

    await process.lose(1 - OF_CLUSTER)
    assert await requests_of_an_hour(stores) == 0


@in_no_time
async def test_a_lease_that_is_revoked_after_a_loss_leaves_no_store_that_is_asked(stores: FakeStores) -> None:
    """A lease that no state records is revoked in the background, while the shard is closed."""
    stores.store()
    process = Process(stores, SHOP)
    await process.lose(SHOP)
    stores.server.mood = lambda _: Unreachable("NoAnswer")

    assert isinstance(await stores.stores.drop_lease(ref(), "shop", "a", lease("one")), Unreachable)

    assert await requests_of_an_hour(stores) == 0


@in_no_time
async def test_leases_of_a_lost_shard_are_all_revoked(stores: FakeStores) -> None:
    stores.store()
    process = Process(stores, SHOP)
    await process.lose(SHOP)
    stores.server.delay = 1.0

    revoked = [stores.stores.drop_lease(ref(), "shop", "a", lease(name)) for name in ("one", "two")]
    await asyncio.sleep(0.5)
    revoked.append(stores.stores.drop_lease(ref(), "shop", "a", lease("three")))

    assert await asyncio.gather(*revoked) == [None, None, None]
    assert stores.server.closed == stores.server.opened == 1


@in_no_time
async def test_a_lease_that_is_acquired_after_a_loss_leaves_no_store_that_is_asked(
    stores: FakeStores,
) -> None:
    stores.store()
    process = Process(stores, SHOP)
    await process.lose(SHOP)
    stores.server.mood = lambda _: Unreachable("NoAnswer")

    assert isinstance(await stores.stores.lease(ref(), "shop", "a"), Unreachable)

    assert await requests_of_an_hour(stores) == 0


@in_no_time
async def test_a_store_of_a_held_shard_stays_open_after_a_revocation(stores: FakeStores) -> None:
    stores.store()
    Process(stores, SHOP)
    await open_and_fail(stores, ref())

    assert isinstance(await stores.stores.drop_lease(ref(), "shop", "a", lease("one")), Unreachable)

    assert await requests_of_an_hour(stores) > 100


# Events of an object of another process


@in_no_time
async def test_a_deleted_store_of_the_cluster_is_closed_by_each_process(stores: FakeStores) -> None:
    key = stores.cluster_store()
    process = Process(stores, 1 - OF_CLUSTER)
    await open_and_fail(stores, cluster_ref())

    process.handlers.drop_store(key)

    assert await requests_of_an_hour(stores) == 0


@in_no_time
async def test_a_changed_store_of_the_cluster_is_closed_by_each_process(stores: FakeStores) -> None:
    key = stores.cluster_store()
    process = Process(stores, 1 - OF_CLUSTER)
    await open_and_fail(stores, cluster_ref())

    metadata = {"name": key.name, "uid": "u", "generation": 99, "resourceVersion": "99"}
    spec = {"provider": {"kept": {"login": {"name": "elsewhere", "key": "token"}}}}
    process.handlers.put_store(key.kind, {"metadata": metadata, "spec": spec})

    assert await requests_of_an_hour(stores) == 0


@in_no_time
async def test_a_deleted_target_is_closed_by_a_process_without_its_shard(targets: FakeTargets) -> None:
    process = Process(targets, 1 - SHOP)
    targets.databases.health(KEY)  # by a reconcile that ended after the loss
    assert await logins_of_an_hour() > 1

    process.handlers.drop_target(KEY)

    assert await logins_of_an_hour() == 0


@in_no_time
async def test_a_changed_target_is_closed_by_a_process_without_its_shard(targets: FakeTargets) -> None:
    process = Process(targets, 1 - SHOP)
    targets.databases.health(KEY)
    assert await logins_of_an_hour() > 1

    metadata = {"name": KEY.name, "namespace": "shop", "uid": "u", "generation": 10**6}
    spec = {
        "postgresql": {"host": "new-db", "database": "orders"},
        "adminCredentials": {"secretRef": {"name": "a"}},
    }
    process.handlers.put_target(
        KEY.kind, {"metadata": metadata | {"resourceVersion": str(10**6)}, "spec": spec}
    )

    assert await logins_of_an_hour() == 0
