"""How a store is spared: one read for all, not faster than its rate, and not at all while it is away.

The clock jumps, so that minutes pass in no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from typing import TYPE_CHECKING

import pytest

from keyturn.core.value import Value
from keyturn.stores.providers import Outcome, Policy
from keyturn.stores.providers.errors import NotFound, Refused, StoreError, Throttled, Unreachable
from tests.unit.stores.fake_stores import cluster_ref, now, ref
from tests.unit.stores.fast_clock import in_no_time

if TYPE_CHECKING:
    from tests.unit.stores.fake_stores import Town


def away(_: int) -> StoreError:
    return Unreachable("ClientConnectorError")


# One read for all


@in_no_time
async def test_a_thousand_who_ask_at_once_make_one_request(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.delay = 0.02

    found = await asyncio.gather(*(town.read() for _ in range(1000)))

    assert set(found) == {"hunter2"}
    assert town.keeper.count("read db") == 1


@in_no_time
async def test_a_thousand_who_ask_for_what_is_not_there_make_one_request(town: Town) -> None:
    town.store()

    found = await asyncio.gather(*(town.refusal() for _ in range(1000)))

    assert {type(error) for error in found} == {NotFound}
    assert town.keeper.count("read db") == 1


@in_no_time
async def test_within_the_interval_a_read_serves_who_comes_later(town: Town) -> None:
    town.store(interval=15)
    town.keeper.values["db"] = "old"
    await town.read()
    town.keeper.values["db"] = "new"

    await asyncio.sleep(14)
    assert await town.read() == "old"
    await asyncio.sleep(2)
    assert await town.read() == "new"
    assert town.keeper.count("read db") == 2


@in_no_time
async def test_when_the_interval_is_over_no_value_is_kept(town: Town) -> None:
    town.store(interval=15)
    town.keeper.values["db"] = "hunter2"
    await town.read()
    assert len(town.stores._cache) == 1

    await asyncio.sleep(15.1)

    assert len(town.stores._cache) == 0


@in_no_time
async def test_who_wants_it_fresh_asks_the_store_and_serves_the_others(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "old"
    await town.read()
    town.keeper.values["db"] = "new"

    assert await asyncio.gather(*(town.read(fresh=True) for _ in range(10))) == ["new"] * 10
    assert await town.read() == "new"
    assert town.keeper.count("read db") == 2


@in_no_time
async def test_other_keys_and_versions_are_read_for_themselves(town: Town) -> None:
    town.store()
    town.keeper.values |= {"db": "one", "cache": "two"}

    await asyncio.gather(town.read("db"), town.read("cache"), town.read("db", version="7"))

    assert (town.keeper.count("read db"), town.keeper.count("read cache")) == (2, 1)


@in_no_time
async def test_a_store_of_the_same_name_elsewhere_shares_nothing(town: Town) -> None:
    town.store(namespace="shop"), town.store(namespace="office")
    town.keeper.values["db"] = "hunter2"

    await asyncio.gather(town.read(namespace="shop"), town.read(namespace="office"))

    assert town.keeper.count("read db") == 2


@in_no_time
async def test_a_namespace_with_a_door_of_its_own_never_gets_what_another_read(town: Town) -> None:
    town.cluster_store(by_namespace=True)
    town.keeper.values |= {"shop:db": "of shop", "office:db": "of office"}

    found = await asyncio.gather(
        *(town.read("db", cluster_ref(), namespace=namespace) for namespace in ("shop", "office", "shop"))
    )

    assert found == ["of shop", "of office", "of shop"]
    assert town.keeper.count("read db") == 2


@in_no_time
async def test_one_who_goes_away_takes_nobodys_read_along(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.delay = 2
    first = asyncio.create_task(town.read())
    await asyncio.sleep(1)
    second = asyncio.create_task(town.read())
    await asyncio.sleep(0)

    first.cancel()

    assert await second == "hunter2"
    assert first.cancelled()
    assert town.keeper.count("read db") == 1


@in_no_time
async def test_a_read_that_nobody_waits_for_any_more_serves_who_comes_next(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.delay = 2
    first = asyncio.create_task(town.read())
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.sleep(2)

    assert await town.read() == "hunter2"
    assert town.keeper.count("read db") == 1


@in_no_time
async def test_more_than_the_cache_holds_pushes_out_what_was_kept_longest(town: Town) -> None:
    town.stores._cache._largest = 3 * 1024 * 1024
    town.store()
    town.keeper.values |= {f"k{number}": "x" * 1_000_000 for number in range(5)}

    for number in range(5):
        await town.read(f"k{number}")
    for number in (4, 3, 0):
        await town.read(f"k{number}")

    assert [town.keeper.count(f"read k{number}") for number in (4, 3, 0)] == [1, 1, 2]


# Writes


@in_no_time
async def test_a_write_is_seen_by_the_next_read(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "old"
    await town.read()

    written = await town.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE)

    assert written.outcome is Outcome.REPLACED
    assert await town.read() == "new"


@in_no_time
async def test_a_read_from_before_a_write_is_not_kept(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "old"
    town.keeper.delay = 2
    early = asyncio.create_task(town.read())
    await asyncio.sleep(1)
    town.keeper.delay = 0

    await town.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE)
    await early

    assert await town.read() == "new"


@in_no_time
async def test_a_read_before_the_answer_to_a_write_is_of_what_the_store_has_by_then(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "old"
    await town.read()
    town.keeper.delay = 2
    writing = asyncio.create_task(town.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE))
    await town.until(lambda: town.keeper.count("write db") == 1)
    town.keeper.delay = 0
    town.keeper.values["db"] = "new"  # its answer is on the way

    assert await town.read() == "new"
    await writing


@in_no_time
async def test_a_write_below_a_prefix_goes_there(town: Town) -> None:
    town.cluster_store(prefix="{namespace}/")

    await town.stores.write(cluster_ref(), "shop", "db", Value(b"ours"), Policy.REPLACE)
    assert town.keeper.values == {"shop/db": "ours"}
    with pytest.raises(Refused):
        await town.stores.write(cluster_ref(), "shop", "../office/db", Value(b"theirs"), Policy.REPLACE)
    with pytest.raises(Refused):
        await town.stores.delete(cluster_ref(), "shop", "../office/db")
    await town.stores.delete(cluster_ref(), "shop", "db")

    assert town.keeper.values == {}


# The rate


@in_no_time
async def test_requests_keep_to_the_rate_of_the_store(town: Town) -> None:
    town.store(rate=50)
    town.keeper.values |= {f"k{number}": "x" for number in range(400)}

    await asyncio.gather(*(town.read(f"k{number}") for number in range(400)))

    times = sorted(when for when, what, _ in town.keeper.asked if what.startswith("read"))
    in_any_second = max(sum(start <= other < start + 1 for other in times) for start in times)
    assert in_any_second <= 60
    assert 390 / 50 - 0.5 <= times[-1] - times[0] <= 8.5


@in_no_time
async def test_what_would_have_to_wait_for_more_than_a_minute_is_told_so_at_once(town: Town) -> None:
    town.store(rate=1)
    town.keeper.values |= {f"k{number}": "x" for number in range(100)}

    found = await asyncio.gather(*(town.read(f"k{number}") for number in range(100)), return_exceptions=True)

    assert found[:61] == ["x"] * 61
    late = [error for error in found if isinstance(error, Throttled)]
    assert len(late) == 39
    assert {error.code for error in late} == {"RateLimit"}
    assert min(error.retry_after or 0 for error in late) > 60


@in_no_time
async def test_no_more_than_twenty_requests_are_in_flight(town: Town) -> None:
    town.store()
    town.keeper.values |= {f"k{number}": "x" for number in range(60)}
    town.keeper.delay = 1
    flying = [asyncio.create_task(town.read(f"k{number}")) for number in range(60)]
    await asyncio.sleep(0.5)

    assert len(town.keeper.asked) == 20
    await asyncio.gather(*flying)


# Throttling


@in_no_time
async def test_a_short_wish_is_waited_for(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.mood = lambda number: Throttled("Status429", retry_after=3) if number == 1 else None

    assert await town.read() == "hunter2"

    first, second = town.keeper.times("read db")
    assert second - first >= 3


@in_no_time
async def test_a_long_wish_is_told_and_nobody_asks_before_it_is_over(town: Town) -> None:
    town.store()
    town.keeper.values |= {"db": "hunter2", "cache": "x"}
    town.keeper.mood = lambda number: Throttled("Status429", retry_after=20) if number == 1 else None

    first = await town.refusal()
    assert (type(first), first.retry_after) == (Throttled, 20)
    await asyncio.sleep(10)
    second = await town.refusal("cache")
    assert (type(second), second.code) == (Throttled, "Paused")
    assert second.retry_after == pytest.approx(10)
    await asyncio.sleep(10.1)

    assert await town.read("cache") == "x"
    assert [what for _, what, _ in town.keeper.asked] == ["read db", "check", "read cache"]


@in_no_time
async def test_a_storm_of_refusals_is_met_with_fewer_requests_and_not_with_more(town: Town) -> None:
    town.store()
    town.keeper.mood = lambda _: Throttled("Status429")

    for _ in range(120):
        await asyncio.gather(*(town.refusal(f"k{number}") for number in range(16)))
        await asyncio.sleep(1)

    assert len(town.keeper.asked) < 120


# Silence


@in_no_time
async def test_after_five_failures_nobody_asks_and_one_looks_for_the_store(town: Town) -> None:
    town.store(interval=15)
    town.keeper.mood = away
    for _ in range(5):
        await town.refusal()
    asked = len(town.keeper.asked)

    found = [await town.refusal(f"k{number}") for number in range(100)]

    assert {(type(error), error.code) for error in found} == {(Unreachable, "NoAnswer")}
    assert len(town.keeper.asked) == asked
    began = now()
    await asyncio.sleep(120)
    checks = [when - began for when in town.keeper.times("check")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(checks)]
    assert gaps[:4] == pytest.approx([1, 2, 4, 8])
    assert set(map(round, gaps[4:])) == {15}


@in_no_time
async def test_a_store_that_returns_is_found_within_an_interval_and_its_users_are_woken(town: Town) -> None:
    key = town.store(interval=15)
    town.keeper.values["db"] = "hunter2"
    town.keeper.mood = away
    for _ in range(5):
        await town.refusal()
    await asyncio.sleep(3600)
    assert town.recovered == []

    town.keeper.mood = lambda _: None
    back = now()
    await town.until(lambda: town.recovered == [key])

    assert now() - back <= 15.1
    assert await town.read() == "hunter2"
    await asyncio.sleep(3600)
    assert town.recovered == [key]
    assert len(town.keeper.asked) < 400


@in_no_time
async def test_a_store_that_is_back_is_no_longer_looked_for(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.mood = away
    for _ in range(5):
        await town.refusal()
    town.keeper.mood = lambda _: None
    await asyncio.sleep(60)
    asked = len(town.keeper.asked)

    await asyncio.sleep(86400)

    assert len(town.keeper.asked) == asked


@in_no_time
async def test_one_store_that_is_away_holds_up_no_other(town: Town) -> None:
    town.store("away"), town.store("there")
    town.keeper.values["db"] = "hunter2"
    town.keeper.mood = away
    for _ in range(6):
        await town.refusal(store=ref("away"))
    town.keeper.mood = lambda _: None

    assert await town.read(store=ref("there")) == "hunter2"


@in_no_time
async def test_a_store_that_hangs_is_found_out_after_half_a_minute_and_then_holds_nobody_up(
    town: Town,
) -> None:
    town.store()
    town.keeper.delay = 3600
    began = now()

    found = await asyncio.gather(*(town.refusal(f"k{number}") for number in range(1000)))

    assert {(type(error), error.code) for error in found} == {
        (Unreachable, "Timeout"),
        (Unreachable, "NoAnswer"),
    }
    assert 29.9 <= now() - began <= 30.1
    assert len([what for _, what, _ in town.keeper.asked if what.startswith("read")]) <= 20
    await town.refusal()
    assert now() - began <= 30.1


@in_no_time
async def test_keys_that_a_store_cannot_answer_keep_nobody_from_others(town: Town) -> None:
    key = town.cluster_store()
    town.keeper.values["db"] = "hunter2"
    is_broken = "read broken"
    town.keeper.mood = lambda n: (
        Unreachable("Status500") if is_broken in town.keeper.asked[n - 1][1] else None
    )
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "Valid")

    for number in range(50):
        broken = await town.refusal(f"broken {number}", cluster_ref(), namespace="office")
        assert broken.code == "Status500"
        assert await town.read(store=cluster_ref(), fresh=True) == "hunter2"

    assert town.reason(key) == "Valid"


@in_no_time
async def test_keys_that_a_store_cannot_answer_make_few_checks_and_no_news(town: Town) -> None:
    key = town.cluster_store()
    town.keeper.mood = lambda n: (
        Unreachable("MalformedAnswer") if town.keeper.asked[n - 1][1] != "check" else None
    )
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "Valid")
    told = len(town.turned)

    for number in range(50):
        broken = await town.refusal(f"broken {number}", cluster_ref(), namespace="office")
        assert broken.code == "MalformedAnswer"

    assert town.reason(key) == "Valid"
    assert (len(town.turned), town.recovered) == (told, [])
    assert town.keeper.count("check") <= 11


@in_no_time
async def test_a_store_that_answers_nothing_but_its_trouble_is_told_and_found_again(town: Town) -> None:
    key = town.store()
    town.keeper.values["db"] = "hunter2"
    town.stores.health(key)
    await town.until(lambda: town.reason(key) == "Valid")
    town.keeper.mood = lambda _: Unreachable("Status503")
    for number in range(5):
        await town.refusal(f"k{number}")

    await town.until(lambda: town.reason(key) == "Unreachable", 60)
    assert (
        await town.refusal("k6")
    ).code == "Status503"  # it is still asked: who knows of which keys it speaks

    town.keeper.mood = lambda _: None
    await town.until(lambda: town.recovered == [key], 60)
    assert (town.reason(key), await town.read()) == ("Valid", "hunter2")


@in_no_time
async def test_five_seconds_of_latency_only_take_time(town: Town) -> None:
    town.store()
    town.keeper.values |= {f"k{number}": "x" for number in range(20)}
    town.keeper.delay = 5

    assert await asyncio.gather(*(town.read(f"k{number}") for number in range(20))) == ["x"] * 20


@in_no_time
async def test_at_a_third_of_errors_all_is_read_in_the_end_and_little_is_said_of_the_store(
    town: Town,
) -> None:
    key = town.store(interval=1)
    town.keeper.values["db"] = "hunter2"
    chance = random.Random(5)  # noqa: S311  # it spreads errors
    town.keeper.mood = lambda _: Unreachable("Status503") if chance.random() < 0.3 else None
    town.stores.health(key)
    read = 0

    for _ in range(2000):
        await asyncio.sleep(2)
        with contextlib.suppress(Unreachable):
            read += await town.read() == "hunter2"

    assert read > 1200
    assert len(town.turned) < 10


# Ends


@in_no_time
async def test_when_the_operator_ends_nobody_is_left_waiting_and_nothing_is_kept(town: Town) -> None:
    town.store()
    town.keeper.values |= {"db": "hunter2", "slow": "x"}
    await town.read()
    town.keeper.delay = 5
    waiting = asyncio.create_task(town.refusal("slow"))
    await asyncio.sleep(1)

    await town.stores.close()

    assert (await waiting).code == "Closed"
    assert (await town.refusal()).code == "Closed"
    assert len(town.stores._cache) == 0
    assert town.keeper.closed == town.keeper.opened
    assert len(asyncio.all_tasks()) == 1


@in_no_time
async def test_a_changed_store_is_opened_anew_and_the_reads_of_the_old_one_end(town: Town) -> None:
    town.store()
    town.keeper.values |= {"db": "hunter2", "cache": "x"}
    town.keeper.delay = 5
    early = asyncio.create_task(town.refusal())
    await asyncio.sleep(1)

    town.store()
    other = asyncio.create_task(town.read("cache"))
    await asyncio.sleep(1)
    assert (await early).code == "Closed"
    assert (town.keeper.opened, town.keeper.closed) == (2, 1)
    assert await other == "x"


@in_no_time
async def test_what_is_written_to_a_store_that_is_changed_meanwhile_is_written(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.delay = 5
    early = asyncio.create_task(town.stores.write(ref(), "shop", "new", Value.of_text("x"), Policy.REPLACE))
    await asyncio.sleep(1)

    town.store()
    await town.read()
    await early

    assert town.keeper.values["new"] == "x"


@in_no_time
async def test_a_store_that_hangs_costs_no_more_with_each_change_of_its_spec(town: Town) -> None:
    town.keeper.delay = 20
    waiting = []
    for _ in range(50):
        town.store()
        waiting += [asyncio.create_task(town.refusal(f"k{number}")) for number in range(10)]
        await asyncio.sleep(0.1)

    assert len([one for one in waiting if not one.done()]) <= 10
    assert len(asyncio.all_tasks()) < 40
    await asyncio.gather(*waiting)


@in_no_time
async def test_a_store_that_does_not_answer_is_no_new_one_with_other_settings(town: Town) -> None:
    key = town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.mood = away
    for _ in range(5):
        await town.refusal()

    town.store()
    reads = town.keeper.count("read db")
    assert (await town.refusal()).code == "NoAnswer"
    assert town.keeper.count("read db") == reads
    assert town.keeper.count("check") > 0

    town.keeper.mood = lambda _: None
    await town.until(lambda: town.recovered == [key], 3)
    assert await town.read() == "hunter2"


@in_no_time
async def test_a_store_that_never_answers_is_asked_no_more_however_often_it_is_changed(town: Town) -> None:
    town.keeper.delay = 20
    for _ in range(20):
        town.store()
        reading = asyncio.create_task(town.refusal())
        await asyncio.sleep(1)

    assert town.keeper.count("read db") <= 5
    assert (await reading).code == "NoAnswer"


@in_no_time
async def test_a_store_that_had_no_time_to_answer_is_not_silent(town: Town) -> None:
    town.keeper.values["db"] = "hunter2"
    town.keeper.delay = 0.3
    for _ in range(10):
        town.store()
        reading = asyncio.create_task(town.refusal())
        await asyncio.sleep(0.2)
        reading.cancel()

    town.store()
    assert await town.read() == "hunter2"


@in_no_time
async def test_who_waits_for_a_turn_is_not_left_without_an_answer(town: Town) -> None:
    town.keeper.values["db"] = "hunter2"
    for _ in range(10):
        town.store(rate=1)
        waiting = [asyncio.create_task(town.refusal(f"k{number}")) for number in range(5)]
        await asyncio.sleep(0.5)
        for one in waiting:
            one.cancel()

    town.store()
    assert await town.read() == "hunter2"
    assert town.keeper.count("check") == 0  # as is made of a store that does not answer


@in_no_time
async def test_a_store_that_comes_again_under_its_name_is_no_new_one_for_ten_minutes(town: Town) -> None:
    tidying = asyncio.create_task(town.stores.run())
    key = town.store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.mood = away
    for _ in range(5):
        await town.refusal()

    town.stores.forget(key)
    town.store()
    assert (await town.refusal()).code == "NoAnswer"

    town.stores.forget(key)
    town.keeper.mood = lambda _: None
    await asyncio.sleep(700)
    town.store()
    assert await town.read() == "hunter2"
    tidying.cancel()


@in_no_time
async def test_a_changed_store_is_asked_no_faster_than_before(town: Town) -> None:
    began = now()
    for number in range(10):
        town.store(rate=1)
        await town.refusal(f"k{number}")

    assert now() - began >= 8.9


@in_no_time
async def test_a_namespace_has_a_thousand_reads_under_way_and_leaves_the_others_alone(town: Town) -> None:
    town.cluster_store()
    town.keeper.values["db"] = "hunter2"
    town.keeper.delay = 1
    many = [
        asyncio.create_task(town.refusal(f"k{number}", cluster_ref(), namespace="shop"))
        for number in range(1001)
    ]
    await asyncio.sleep(0.1)

    (turned_away,) = (one.result() for one in many if one.done())
    assert (type(turned_away), turned_away.code) == (Throttled, "TooManyReads")
    assert turned_away.retry_after == 10
    assert await town.read("db", cluster_ref(), namespace="office") == "hunter2"
    await asyncio.gather(*many)
    assert (await town.refusal("more", cluster_ref(), namespace="shop")).code == "NoSuchKey"


@in_no_time
async def test_a_store_that_was_away_is_looked_for_no_more_once_it_has_other_settings(town: Town) -> None:
    town.store()
    town.keeper.mood = away
    town.keeper.delay = 5
    late = [asyncio.create_task(town.refusal(f"k{number}")) for number in range(30)]
    await asyncio.sleep(1)

    town.store()
    town.keeper.mood, town.keeper.delay = (lambda _: None), 0
    town.keeper.values["db"] = "hunter2"
    assert await town.read() == "hunter2"
    await asyncio.gather(*late)
    asked = len(town.keeper.asked)
    await asyncio.sleep(3600)

    assert len(town.keeper.asked) == asked
    assert town.keeper.opened - town.keeper.closed == 1
    assert len(asyncio.all_tasks()) == 1


@in_no_time
async def test_what_nobody_uses_for_long_is_closed_and_opened_again_when_somebody_does(town: Town) -> None:
    town.store()
    town.keeper.values["db"] = "hunter2"
    tidying = asyncio.create_task(town.stores.run())
    await town.read()
    await asyncio.sleep(500)
    assert town.keeper.closed == 0
    await asyncio.sleep(300)
    assert town.keeper.closed == 1

    assert await town.read() == "hunter2"
    assert town.keeper.opened == 2
    tidying.cancel()
