"""What a process does when it gains and loses shards."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.restart_budget import RestartLimits
from keyturn.controllers.shard_work import Shards
from keyturn.controllers.workqueue import WorkQueue
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.core.labels import OWNER_LABEL
from keyturn.core.shards import shard_of
from keyturn.core.state.state import state_name
from keyturn.kube.client import Page
from keyturn.kube.secret_informer import SecretMeta
from keyturn.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from keyturn.controllers.event_handlers import Key

NOW = datetime(2026, 11, 27, tzinfo=UTC)
SHARDS = 2
ZERO = [name for name in (f"team-{number}" for number in range(20)) if shard_of(name, SHARDS) == 0][:3]
ONE = [name for name in (f"team-{number}" for number in range(20)) if shard_of(name, SHARDS) == 1][:3]
CLASS = ObjectKey("", "api-key")
_NO_GRACE = timedelta()


class Lists:
    """API server, without Secrets at first; a list can take until it is ended, which takes until `may_end` is set."""

    def __init__(self) -> None:
        self.hangs = False
        self.may_end = asyncio.Event()
        self.may_begin = asyncio.Event()
        self.may_begin.set()
        self.items: list[dict[str, Any]] = []

    async def pages(self, *_: Any) -> AsyncIterator[Page]:
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                await self.may_end.wait()
        await self.may_begin.wait()
        for number, item in enumerate(self.items):  # a page each
            yield Page([item], "1", first=not number)
        yield Page([], "1", first=not self.items)


class Watching:
    namespaces = None


class Process:
    """The parts of one process that shards concern."""

    def __init__(self, count: int = SHARDS, limits: RestartLimits | None = None) -> None:
        self.api = Lists()
        api: Any = self.api
        events: Any = None
        handlers: Any = Watching()
        self.listed: list[str] = []
        self.rested = 0
        self.hang: set[str] = set()
        self.passes: Counter[Key] = Counter()
        self.cancelled: list[Key] = []
        self.context = Context(api, events, lambda: NOW)
        limits = limits or RestartLimits()
        self.memory = Memory(self.context, limits)
        self.shards = Shards(count, limits)
        self.queue: WorkQueue[Key] = WorkQueue(is_open=self.shards.is_open)
        self.context.wake = self.queue.add
        lists = self._list("objects"), self._list("secrets")
        self.shards.attach(self.context, self.memory, handlers, self.queue, lists, self._leave_at_rest)
        self.context.cache.put_class(body("api-key"))
        for namespace in (*ZERO, *ONE):
            self.context.cache.put_managed(body("db", namespace))

    def _list(self, name: str) -> Any:
        async def read() -> None:
            self.listed.append(name)

        return read

    async def _leave_at_rest(self) -> None:
        self.rested += 1

    async def reconcile(self, key: Key) -> None:
        self.passes[key] += 1
        if isinstance(key, ObjectKey):
            self.memory.secrets.forget_values(key)  # as at the end of a pass
        if key.namespace in self.hang:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(key)
                raise

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self.shards.run()),
            asyncio.create_task(self.queue.run(self.reconcile, workers=16)),
        ]
        try:
            async with asyncio.timeout(60):
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    def namespaces(self) -> set[str]:
        return {key.namespace for key in self.passes}


def body(name: str, namespace: str = "") -> dict[str, Any]:
    metadata = {
        "name": name,
        "uid": "u",
        "resourceVersion": "1",
        **({"namespace": namespace} if namespace else {}),
    }
    return {"metadata": metadata, "spec": {}}


def secret_of(namespace: str, name: str) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": "u",
        "resourceVersion": "1",
        "labels": {OWNER_LABEL: "db"},
    }
    return {"metadata": metadata, "data": {}}


def managed(namespace: str) -> ObjectKey:
    return ObjectKey(namespace, "db")


async def test_the_objects_of_a_gained_shard_are_reconciled_and_no_others() -> None:
    process = Process()
    async with process.running():
        process.queue.add(managed(ZERO[0]))
        await process.settle()
        assert process.passes == Counter()

        process.shards.gain(1)
        await process.settle()
        assert process.passes == Counter(map(managed, ONE))

        process.shards.gain(0)
        await process.settle()
        assert process.passes == Counter([*map(managed, (*ZERO, *ONE)), CLASS])


async def test_secrets_are_known_before_a_gained_shard_is_reconciled() -> None:
    process = Process()
    async with process.running():
        process.shards.gain(1)
        await process.settle()
        assert process.listed == ["secrets"]
        assert process.context.since == NOW


async def test_nothing_of_a_lost_shard_is_left_and_the_other_continues() -> None:
    process = Process()
    async with process.running():
        process.shards.gain(0)
        process.shards.gain(1)
        await process.settle()
        process.hang.update(ONE)
        process.queue.add(managed(ONE[0]))
        await process.settle()
        for namespace in (ZERO[0], ONE[0]):
            process.memory.compliance.keep_first(managed(namespace), 1)

        await process.shards.lose(1, _NO_GRACE)

        assert process.cancelled == [managed(ONE[0])]
        assert process.memory.compliance.is_first(managed(ZERO[0]), 1)
        assert not process.memory.compliance.is_first(managed(ONE[0]), 1)
        process.passes.clear()
        for namespace in (*ZERO, *ONE):
            process.queue.add(managed(namespace))
        await process.settle()
        assert process.passes == Counter(map(managed, ZERO))


async def test_a_shard_that_is_lost_before_it_is_open_stays_closed() -> None:
    process = Process()
    async with process.running():
        process.shards.gain(1)
        await process.shards.lose(1, _NO_GRACE)
        await process.settle()
        assert process.passes == Counter()


async def test_after_a_loss_all_objects_are_listed_before_the_next_shard_is_open() -> None:
    process = Process()
    async with process.running():
        process.shards.gain(1)
        await process.settle()
        await process.shards.lose(1, _NO_GRACE)
        process.passes.clear()
        process.listed.clear()
        process.shards.gain(1)
        await process.settle()
        assert process.listed == ["secrets", "objects"]
        assert process.passes == Counter(map(managed, ONE))


@asynccontextmanager
async def gaining_while_reads_end() -> AsyncIterator[Process]:
    """Run a process that has gained shard 1 and waits for the end of the reads of shard 0."""
    process = Process()
    process.api.hangs = True
    for namespace in ZERO:
        name = state_name("db")
        process.context.cache.put_secret(SecretMeta(namespace, name, "1", "u", "db", 1, None))
    async with process.running():
        process.shards.gain(0)
        await process.settle()
        process.api.hangs = False
        process.shards.gain(1)
        await process.settle()
        assert process.passes == Counter([CLASS]), "the reads hold the objects of shard 0"
        process.listed.clear()
        yield process


async def test_a_shard_that_is_lost_while_the_earlier_reads_end_stays_closed() -> None:
    async with gaining_while_reads_end() as process:
        await process.shards.lose(1, _NO_GRACE)
        process.api.may_end.set()
        await process.settle()

        for namespace in (*ZERO, *ONE):
            process.queue.add(managed(namespace))
        await process.settle()
        assert process.passes.keys() == {*map(managed, ZERO), CLASS}


async def test_all_objects_are_listed_for_a_shard_that_is_lost_and_gained_while_the_earlier_reads_end() -> (
    None
):
    async with gaining_while_reads_end() as process:
        await process.shards.lose(1, _NO_GRACE)
        process.shards.gain(1)
        process.api.may_end.set()
        await process.settle()

        assert process.listed[0] == "objects"
        assert process.passes.keys() == {*map(managed, (*ZERO, *ONE)), CLASS}


async def test_objects_of_a_shard_wait_for_no_secret_of_one_that_is_lost_during_the_reads() -> None:
    process = Process()
    name = state_name("db")
    secrets = [secret_of(namespace, name) for namespace in (ONE[0], ZERO[0])]
    process.api.items = secrets
    process.api.may_begin.clear()
    for one in secrets:
        process.context.cache.put_secret(
            SecretMeta(one["metadata"]["namespace"], name, "1", "u", "db", 1, None)
        )
    async with process.running():
        process.shards.gain(0)
        process.shards.gain(1)
        await process.settle()
        assert managed(ZERO[0]) not in process.passes

        await process.shards.lose(1, _NO_GRACE)
        process.api.may_begin.set()
        await process.settle()

        assert managed(ZERO[0]) in process.passes
        async with asyncio.timeout(60):
            await process.memory.secrets.listed.wait_until_empty()


async def test_after_a_handover_the_cache_is_trusted() -> None:
    process = Process()
    async with process.running():
        process.shards.gain(1)
        await process.settle()
        await process.shards.lose(1, timedelta(seconds=5))
        process.listed.clear()
        process.shards.gain(1)
        await process.settle()
        assert process.listed == ["secrets"]


async def test_a_process_has_its_part_of_the_restart_budget() -> None:
    process = Process(limits=RestartLimits(rolling=5))
    rolling = [WorkloadKey(ONE[0], "Deployment", str(number)) for number in range(9)]
    async with process.running():
        process.shards.gain(1)
        await process.settle()
        began = [
            process.memory.budget.take(managed(ONE[0]), one, NOW + timedelta(hours=1)) for one in rolling
        ]
        assert len(list(filter(None, began))) == 2

        process.shards.gain(0)
        await process.settle()
        began = [
            process.memory.budget.take(managed(ONE[0]), one, NOW + timedelta(hours=1)) for one in rolling
        ]
        assert len(list(filter(None, began))) == 4

        await process.shards.lose(1, _NO_GRACE)
        assert process.memory.budget.take(managed(ZERO[0]), rolling[8], NOW + timedelta(hours=1))


async def test_metrics_have_the_shards_of_the_process() -> None:
    def samples() -> list[float | None]:
        names = ("keyturn_shards", "keyturn_shards_held", "keyturn_leader")
        return [metrics.REGISTRY.get_sample_value(name) for name in names]

    process = Process()
    async with process.running():
        assert samples() == [2, 0, 0]
        with capture_logs() as logs:
            process.shards.gain(1)
            await process.settle()
        assert samples() == [2, 1, 1]
        assert [line["shards"] for line in logs if line["event"] == "leading"] == [[1]]
        process.shards.close()
        assert samples() == [2, 0, 0]


async def test_with_one_shard_keys_are_collected_before_the_process_leads() -> None:
    process = Process(count=1)
    process.queue.add(managed(ONE[0]))
    async with process.running():
        await process.settle()
        assert process.passes == Counter([managed(ONE[0])])
        with capture_logs() as logs:
            process.shards.gain(0)
            await process.settle()
        assert process.passes == Counter([managed(ONE[0])]), "the queue has what there is to do"
        assert [line for line in logs if line["event"] == "leading"] == [
            {"event": "leading", "log_level": "info"}
        ]
