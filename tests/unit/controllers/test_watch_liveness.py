"""When a watch counts as one that hangs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from keyturn.controllers.watch_liveness import WatchLiveness, is_stuck
from tests.unit.stores.fast_clock import in_no_time

PATH = "/apis/keyturn.dev/v1alpha1/managedsecrets"
STUCK = [f"watch stuck: {PATH}"]


async def ask(pulse: WatchLiveness, query: str, path: str = PATH, *, ok: bool = True) -> None:
    """Have a request go through, as kopf's session does; the answer is there when its headers are."""

    async def handler(_: Any) -> Any:
        return SimpleNamespace(ok=ok)

    request: Any = SimpleNamespace(url=URL(f"https://api.test{path}{query}"))
    await pulse(request, handler)


async def fail(pulse: WatchLiveness, query: str) -> None:
    async def handler(_: Any) -> Any:
        raise OSError

    request: Any = SimpleNamespace(url=URL(f"https://api.test{PATH}{query}"))
    with pytest.raises(OSError, match=r"^$"):
        await pulse(request, handler)


@pytest.mark.parametrize(("seconds", "problems"), [(0, []), (60, []), (179, []), (181, STUCK), (3600, STUCK)])
@in_no_time
async def test_a_watch_is_stuck_when_it_was_not_renewed_three_times(
    seconds: float, problems: list[str]
) -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")

    await asyncio.sleep(seconds)

    assert pulse.problems() == problems


@in_no_time
async def test_a_list_that_follows_a_watch_is_a_sign_of_life() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    await asyncio.sleep(170)
    await ask(pulse, "")
    await asyncio.sleep(170)

    assert pulse.problems() == []


@pytest.mark.parametrize("query", ["?watch=true", ""], ids=["watch", "list"])
@in_no_time
async def test_being_refused_is_a_sign_of_life_since_a_restart_cures_no_outage(query: str) -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    await asyncio.sleep(170)
    await ask(pulse, query, ok=False)
    await asyncio.sleep(170)
    await fail(pulse, query)
    await asyncio.sleep(170)

    assert pulse.problems() == []


@in_no_time
async def test_only_the_watch_that_hangs_is_named() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    await ask(pulse, "?watch=true", "/apis/apps/v1/deployments")
    for _ in range(4):
        await asyncio.sleep(60)
        await ask(pulse, "?watch=true", "/apis/apps/v1/deployments")

    assert pulse.problems() == STUCK


@in_no_time
async def test_an_expected_watch_that_never_begins_is_stuck() -> None:
    pulse = WatchLiveness()
    pulse.expect([PATH])
    await asyncio.sleep(181)

    assert pulse.problems() == STUCK


@in_no_time
async def test_what_is_listed_and_never_watched_is_not_waited_for() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "", "/apis")
    await asyncio.sleep(3600)

    assert (pulse.problems(), pulse.relisted.is_set()) == ([], False)


@pytest.mark.parametrize(("ok", "sweeps"), [(True, True), (False, False)], ids=["answered", "refused"])
@in_no_time
async def test_a_new_list_of_what_is_watched_calls_for_a_sweep(*, ok: bool, sweeps: bool) -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?watch=true")
    assert not pulse.relisted.is_set()

    await ask(pulse, "", ok=ok)

    assert pulse.relisted.is_set() is sweeps


@in_no_time
async def test_the_first_list_calls_for_a_sweep_as_it_shows_kopf_nothing() -> None:
    pulse = WatchLiveness()
    await ask(pulse, "?limit=1")

    assert pulse.relisted.is_set()


@in_no_time
async def test_a_list_whose_watch_begins_at_an_earlier_list_calls_for_no_sweep() -> None:
    pulse = WatchLiveness()
    pulse.expect([PATH])
    pulse.starts = starts = {PATH: "5"}
    await ask(pulse, "?limit=1")
    assert not pulse.relisted.is_set()

    del starts[PATH]  # the watch has begun
    await ask(pulse, "?limit=1")
    assert pulse.relisted.is_set()


@pytest.mark.parametrize(("seconds", "stuck"), [(179, False), (181, True)])
@in_no_time
async def test_a_watch_of_others_is_judged_alike(seconds: float, *, stuck: bool) -> None:
    alive = asyncio.get_running_loop().time()

    await asyncio.sleep(seconds)

    assert is_stuck(alive) is stuck
