"""Whose work waits for whose: a tenant's for the tenant's own, and ours for nobody's."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from keyturn import threads

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest


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
    waiting = [asyncio.ensure_future(threads.for_tenant("a", gate.pass_through)) for _ in range(20)]
    await threads.for_tenant("b", int)  # by then whatever may begin has begun
    gate.open()
    await asyncio.gather(*waiting)

    assert gate.most == 1


async def test_another_tenant_is_served_while_one_keeps_us_busy(gate: Gate) -> None:
    waiting = [asyncio.ensure_future(threads.for_tenant("a", gate.pass_through)) for _ in range(20)]

    async with asyncio.timeout(5):
        assert await threads.for_tenant("b", int, "7") == 7

    gate.open()
    await asyncio.gather(*waiting)


async def test_our_own_work_waits_for_no_tenant(gate: Gate) -> None:
    waiting = [
        asyncio.ensure_future(threads.for_tenant(f"tenant {number}", gate.pass_through))
        for number in range(20)
    ]

    async with asyncio.timeout(5):
        assert await threads.for_us(int, "7") == 7

    gate.open()
    await asyncio.gather(*waiting)


async def test_work_that_nobody_waits_for_any_more_keeps_its_turn(gate: Gate) -> None:
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await threads.for_tenant("a", gate.pass_through)
    assert gate.most == 1

    gate.open()
    async with asyncio.timeout(5):
        assert await threads.for_tenant("a", int, "7") == 7


async def test_what_fails_is_told_and_gives_the_turn_on() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.for_tenant("a", int, "x")
    assert await threads.for_tenant("a", int, "7") == 7
