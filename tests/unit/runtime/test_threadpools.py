"""Whose work waits for whose: a tenant's for the tenant's own, and ours for nobody's."""

import asyncio
import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from keyturn.core.errors import Wait
from keyturn.runtime import threadpools as threads
from keyturn.runtime.threadpools import yield_processor


class Gate:
    """Work that goes on until it is let through."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self._counting = threading.Lock()
        self._open = threading.Event()

    def pass_through(self) -> None:
        with self._counting:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self._open.wait(30)
        with self._counting:
            self.inside -= 1

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


async def test_work_of_one_owner_is_done_one_by_one(gate: Gate) -> None:
    waiting = [asyncio.ensure_future(threads.run_for_tenant("a", gate.pass_through)) for _ in range(20)]
    await threads.run_for_tenant("b", int)  # by then whatever may begin has begun
    gate.open()
    await asyncio.gather(*waiting)

    assert gate.most == 1


async def test_another_tenant_is_served_while_one_keeps_us_busy(gate: Gate) -> None:
    waiting = [asyncio.ensure_future(threads.run_for_tenant("a", gate.pass_through)) for _ in range(20)]

    async with asyncio.timeout(20):
        assert await threads.run_for_tenant("b", int, "7") == 7

    gate.open()
    await asyncio.gather(*waiting)


async def test_our_own_work_waits_for_no_tenant(gate: Gate) -> None:
    waiting = [
        asyncio.ensure_future(threads.run_for_tenant(f"tenant {number}", gate.pass_through))
        for number in range(20)
    ]

    async with asyncio.timeout(20):
        assert await threads.run_own(int, "7") == 7

    gate.open()
    await asyncio.gather(*waiting)


async def test_work_without_a_waiter_keeps_its_turn(gate: Gate) -> None:
    await left_alone(gate, "a")
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await threads.run_for_tenant("a", gate.pass_through)
    assert gate.most == 1

    gate.open()
    async with asyncio.timeout(20):
        assert await threads.run_for_tenant("a", int, "7") == 7


async def test_what_fails_is_reported_and_gives_the_turn_on() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run_for_tenant("a", int, "x")
    assert await threads.run_for_tenant("a", int, "7") == 7


# Who is next, and who waits


async def outlasted(gate: Gate, owner: str = "a") -> Wait:
    """Have done what is let through only later, and wait for it no longer than a moment."""
    limit = dataclasses.replace(threads._QUICK, seconds=0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_QUICK", limit)
        with pytest.raises(threads.TookTooLong) as refused:
            await threads.run_for_tenant(owner, gate.pass_through)
    return refused.value


async def test_who_has_used_the_threads_least_is_next() -> None:
    first = Gate()
    began: list[str] = []
    for owner in ("busy", "busier"):
        for _ in range(2 if owner == "busier" else 1):
            await threads.run_for_tenant(owner, time.sleep, 0.05)
    waiting = [
        asyncio.ensure_future(threads.run_for_tenant(f"{number}", first.pass_through)) for number in range(3)
    ]
    await asyncio.sleep(0)
    later = [
        asyncio.ensure_future(threads.run_for_tenant(owner, began.append, owner))
        for owner in ("busier", "busy", "new")
    ]
    await asyncio.sleep(0)

    first.open()
    await asyncio.gather(*waiting, *later)

    assert began[0] == "new"
    assert sorted(began) == ["busier", "busy", "new"]


async def test_a_large_key_keeps_nobody_from_the_threads_of_small_works(gate: Gate) -> None:
    waiting = [
        asyncio.ensure_future(threads.run_long(f"tenant {number}", gate.pass_through)) for number in range(20)
    ]

    async with asyncio.timeout(20):
        assert await threads.run_for_tenant("b", int, "7") == 7
    assert gate.most <= 2

    gate.open()
    await asyncio.gather(*waiting)


async def test_a_large_key_holds_up_no_small_work_of_its_own_owner(gate: Gate) -> None:
    waiting = [asyncio.ensure_future(threads.run_long("a", gate.pass_through)) for _ in range(20)]

    async with asyncio.timeout(20):
        assert await threads.run_for_tenant("a", int, "7") == 7
    assert gate.most <= 1

    gate.open()
    await asyncio.gather(*waiting)


async def test_what_outlasts_its_limit_is_waited_for_no_longer(gate: Gate) -> None:
    refused = await outlasted(gate)
    assert (refused.reason, "smaller keys" in refused.message) == ("WorkTookTooLong", True)


async def test_nothing_more_is_begun_for_one_whose_work_outlasts_its_limit(gate: Gate) -> None:
    await outlasted(gate)
    await outlasted(gate)
    assert gate.most == 1


async def test_no_work_queues_behind_what_outlasts_its_limit(gate: Gate) -> None:
    first = asyncio.ensure_future(outlasted(gate))
    await asyncio.sleep(0)
    behind = [asyncio.ensure_future(threads.run_for_tenant("a", int, "7")) for _ in range(20)]

    await first
    async with asyncio.timeout(60):
        ends = await asyncio.gather(*behind, return_exceptions=True)

    assert {type(end) for end in ends} == {threads.TookTooLong}


async def test_work_without_a_waiter_leaves_its_place_at_its_limit_too(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose spec changes while its work goes on would else keep a place from everybody for as long as that lasts."""
    with monkeypatch.context() as patch:
        patch.setattr(threads, "_QUICK", dataclasses.replace(threads._QUICK, seconds=1.0))
        for number in range(3):
            await left_alone(gate, f"gone {number}")

    async with asyncio.timeout(20):
        assert await threads.run_for_tenant("e", int, "7") == 7
    assert gate.inside == 3


async def test_three_works_that_take_too_long_count_also_without_a_waiter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_QUICK", dataclasses.replace(threads._QUICK, seconds=0.5))
    for _ in range(3):
        gate = Gate()
        await left_alone(gate, "a")
        async with asyncio.timeout(20):
            while not threads._tenant_pool()._owner("a").overdue:  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.01)
        await ended(gate)

    with pytest.raises(threads.TookTooLong) as refused:
        await threads.run_for_tenant("a", int, "7")
    assert refused.value.reason == "WorkSuspended"


async def test_who_waits_for_threads_that_others_keep_is_not_blamed(gate: Gate) -> None:
    for number in range(threads._QUICK.at_once + threads._SPARE_THREADS):
        await outlasted(gate, f"other {number}")

    assert "other namespaces" in (await outlasted(gate)).message
    owner = threads._tenant_pool()._owner("a")
    assert (owner.strikes, owner.overdue) == (0, 0)


async def test_who_has_waited_longer_is_before_who_has_used_the_threads_just_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_HALF_LIFE", 0.05)
    first, began, now = Gate(), list[str](), asyncio.get_running_loop().time
    waiting = [
        asyncio.ensure_future(threads.run_for_tenant(f"{number}", first.pass_through)) for number in range(3)
    ]
    await asyncio.sleep(0)
    for owner, used in (("patient", 0.2), ("late", 0.1)):
        threads._tenant_pool()._owner(owner).has_used(used, now())
        waiting.append(asyncio.ensure_future(threads.run_for_tenant(owner, began.append, owner)))
        await asyncio.sleep(0.3)

    first.open()
    await asyncio.gather(*waiting)

    assert began[0] == "patient"


async def test_work_that_no_thread_can_take_gives_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threads._QUICK.pool, "submit", refuse)
        for _ in range(5):
            with pytest.raises(RuntimeError):
                await threads.run_for_tenant("a", int, "7")

    assert await threads.run_for_tenant("a", int, "7") == 7


async def test_work_that_outlasts_its_limit_leaves_its_place_to_others(gate: Gate) -> None:
    for owner in ("a", "b", "c", "d"):
        await outlasted(gate, owner)
    assert gate.most == 4

    async with asyncio.timeout(20):
        assert await threads.run_for_tenant("e", int, "7") == 7


async def test_one_whose_work_takes_too_long_three_times_in_a_row_waits() -> None:
    for _ in range(3):
        gate = Gate()
        await outlasted(gate)
        await ended(gate)

    with pytest.raises(threads.TookTooLong) as refused:
        await threads.run_for_tenant("a", int, "7")
    assert refused.value.reason == "WorkSuspended"
    assert refused.value.after > timedelta(minutes=9)
    assert await threads.run_for_tenant("b", int, "7") == 7


async def test_two_times_in_a_row_are_forgiven_by_one_that_ends() -> None:
    for _ in range(2):
        for _ in range(2):
            gate = Gate()
            await outlasted(gate)
            await ended(gate)
        assert await threads.run_for_tenant("a", int, "7") == 7


async def left_alone(gate: Gate, owner: str) -> None:
    """Have work begun, and go away."""
    before = gate.inside
    waiting = asyncio.ensure_future(threads.run_for_tenant(owner, gate.pass_through))
    async with asyncio.timeout(20):
        while gate.inside == before:  # noqa: ASYNC110  # a thread tells of itself in no other way
            await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])


async def ended(gate: Gate) -> None:
    """Let work that nobody waits for end, and wait until its owner has its turn again."""
    gate.open()
    owner = threads._tenant_pool()._owner("a")
    async with asyncio.timeout(10):
        while owner.overdue:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)


async def test_what_takes_long_leaves_the_processors_to_the_loop() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    ours = priority()
    assert await threads.run_long("a", priority) == min(ours + 5, 19)
    # What holds the interpreter lock is not to wait for a processor.
    assert await threads.run_for_tenant("a", priority) == ours


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def lower_from(nice: int) -> int:
    """Return the nice value after a call in a thread that has the given one."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
    yield_processor()
    return priority()


@pytest.mark.parametrize("steps", [0, 2])
def test_a_thread_keeps_a_third_of_the_share_of_the_thread_that_started_it(steps: int) -> None:
    nice = min(priority() + steps, 19)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lower_from, nice).result() == min(nice + 5, 19)


def test_at_the_lowest_priority_a_thread_stays_there() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lower_from, 19).result() == 19


def test_a_sandbox_that_forbids_it_prevents_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbid)
    before = priority()

    yield_processor()

    assert priority() == before
