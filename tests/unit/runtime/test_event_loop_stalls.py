"""Which calls of the event loop are told of, and that nothing of them is told but their place."""

import asyncio
import threading
import time
from collections.abc import Callable
from types import FrameType

import pytest
import structlog
import uvloop

from keyturn.controllers.managedsecret.generate import making_order
from keyturn.core.errors import Stalled
from keyturn.core.spec.desired import resolve_spec
from keyturn.runtime import event_loop_stalls as holdups
from keyturn.runtime import metrics
from keyturn.runtime.event_loop_stalls import Stall
from tests.unit.core.builders import managed

CANARY = "c4n4ry-in-an-argument"


def works(seconds: float, _: str = "") -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the other thread has looked, which on a busy machine may be late."""
    places: list[str] = []
    place_of = holdups._place_of

    def place(frame: FrameType) -> str:
        places.append(place_of(frame))
        return places[-1]

    monkeypatch.setattr(holdups, "_place_of", place)
    return places


def works_until(looked: list[str], _: str = "") -> None:
    """Work until the other thread has looked, and then some."""
    until = time.monotonic() + 60
    while "works_until" not in " ".join(looked) and time.monotonic() < until:
        pass
    works(0.2)


def sleeps_until(looked: list[str]) -> None:
    until = time.monotonic() + 60
    while "sleeps_until" not in " ".join(looked) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.2)


async def found(is_meant: Callable[[Stall], bool], doing: object, *given: object) -> list[Stall]:
    """Return what is told of something that the loop calls, and that holds it up; a busy machine does so, too."""
    told: list[Stall] = []
    with holdups.watch(told.append):
        await asyncio.sleep(0.2)  # an answer has come in time
        told.clear()
        asyncio.get_running_loop().call_soon(doing, *given)  # type: ignore[arg-type]  # it is called
        async with asyncio.timeout(60):
            while not any(map(is_meant, told)):  # noqa: ASYNC110  # another thread tells
                await asyncio.sleep(0.01)
    return list(filter(is_meant, told))


def works_long(one: Stall) -> bool:
    return one.processor > holdups.LONGEST


async def test_a_call_that_works_for_long_is_reported_with_where_it_works(looked: list[str]) -> None:
    (one,) = await found(works_long, works_until, looked)
    assert one.place.startswith("runtime/test_event_loop_stalls.py:")
    assert one.place.endswith(" works_until")


async def test_a_call_that_sleeps_for_long_has_used_no_processor(looked: list[str]) -> None:
    (one,) = await found(lambda one: "sleeps_until" in one.place, sleeps_until, looked)
    assert one.processor < 0.1


async def test_a_short_call_is_not_reported() -> None:
    told: list[Stall] = []
    with holdups.watch(told.append, longest=60.0):
        asyncio.get_running_loop().call_soon(works, 0.3)
        await asyncio.sleep(0.2)
    assert told == []


async def test_what_waits_in_another_thread_holds_up_nothing() -> None:
    told: list[Stall] = []
    with holdups.watch(told.append):
        await asyncio.to_thread(works, 0.3)
    assert [one for one in told if one.processor > holdups.LONGEST] == []


async def test_the_place_is_the_function_of_ours_and_the_one_that_it_calls(
    monkeypatch: pytest.MonkeyPatch, looked: list[str]
) -> None:
    def slow(_: object) -> None:
        works_until(looked)
        raise Stalled("No", "no")

    desired = resolve_spec(managed({"data": [{"name": "a", "generate": {"password": {}}}]}), None)
    monkeypatch.setattr("keyturn.controllers.managedsecret.generate.generator_for", slow)
    (one,) = await found(works_long, _order, desired)
    assert one.place.startswith("managedsecret/generate.py:")
    assert " > runtime/test_event_loop_stalls.py:" in one.place


def _order(desired: object) -> None:
    with pytest.raises(Stalled):
        making_order(desired)  # type: ignore[arg-type]


async def test_an_idle_loop_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now, used = [10.0], [1.0]
    monkeypatch.setattr(holdups, "monotonic", lambda: now[0])
    monkeypatch.setattr(holdups._Watchdog, "_used", lambda _: used[0])
    watchdog = holdups._Watchdog(lambda _: None, 0.1)

    intervals = []
    for now[0], used[0] in (
        (11.9, 1.0),
        (12.1, 1.004),
        (30.0, 1.008),
        (30.2, 1.02),
        (32.1, 1.02),
        (32.3, 1.02),
    ):
        intervals.append(watchdog._interval())

    assert intervals == [0.05, 0.25, 0.25, 0.05, 0.05, 0.25]


async def test_nothing_is_left_behind() -> None:
    with holdups.watch(lambda _: None):
        await asyncio.sleep(0)
    assert "holdups" not in {thread.name for thread in threading.enumerate()}


async def test_an_end_between_two_requests_ends_the_thread() -> None:
    """The loop waits for the thread meanwhile, and answers nothing."""
    watchdog = holdups._Watchdog(lambda _: None, 0.1)

    class EndsBeforeTheNextRequest(threading.Event):
        def clear(self) -> None:
            watchdog.end()
            super().clear()

    watchdog._answered = EndsBeforeTheNextRequest()
    thread = threading.Thread(target=watchdog.look, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


# What is told


def counted() -> float:
    return metrics.REGISTRY.get_sample_value("keyturn_loop_held_seconds_count") or 0


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    holdups._last_logged.clear()


def logged(*ones: Stall) -> list[object]:
    with structlog.testing.capture_logs() as lines:
        for one in ones:
            holdups.record(one)
    return [(line["event"], line["place"]) for line in lines]


def test_each_is_counted_and_logged_with_its_place() -> None:
    before = counted()
    assert logged(holdups.Stall("a.py:1 f", 0.2, 0.2)) == [("event loop blocked", "a.py:1 f")]
    assert counted() == before + 1


def test_one_place_is_logged_once_in_a_while_and_counted_each_time() -> None:
    before, one = counted(), holdups.Stall("a.py:1 f", 0.2, 0.2)
    assert logged(one, one, one) == [("event loop blocked", "a.py:1 f")]
    assert counted() == before + 3


def test_a_machine_without_time_for_us_is_counted_and_not_logged() -> None:
    before = counted()
    assert logged(holdups.Stall("a.py:1 f", 0.5, 0.01)) == []
    assert counted() == before + 1


async def test_no_value_of_a_call_is_reported(looked: list[str]) -> None:
    (one,) = await found(works_long, works_until, looked, CANARY)
    assert CANARY not in repr(one)


def test_what_holds_up_the_loop_that_the_operator_runs_on_is_reported() -> None:
    found: list[Stall] = []
    told = threading.Event()

    def tell(one: Stall) -> None:
        found.append(one)
        told.set()

    async def held_up() -> None:
        with holdups.watch(tell):
            asyncio.get_running_loop().call_soon(works, 0.5, CANARY)
            async with asyncio.timeout(60):
                while not told.is_set():  # noqa: ASYNC110  # another thread sets it
                    await asyncio.sleep(0.01)

    uvloop.run(held_up())

    (one,) = [one for one in found if "works" in one.place]
    assert one.processor > holdups.LONGEST
    assert CANARY not in str(found)
