"""How a store is spared: one read for all, not faster than its rate, and not at all while it is away.

The clock jumps, so that minutes pass in no time.
"""

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.errors import Stalled
from keyturn.core.value import Value
from keyturn.runtime import metrics
from keyturn.stores.providers import Policy, WriteResult
from keyturn.stores.providers.base import ProviderLease
from keyturn.stores.providers.errors import Conflict, Refused, StoreError, Throttled, Unreachable
from tests.unit.stores.fake_stores import FakeStores, cluster_ref, now, ref, revealed
from tests.unit.stores.fast_clock import run_in_no_time


def away(_: int) -> StoreError:
    return Unreachable("ClientConnectorError")


# One read for all


async def test_a_thousand_who_ask_at_once_make_one_request(fake: FakeStores) -> None:
    fake.store()
    fake.server.delay = 0.02

    found = await asyncio.gather(*(fake.read() for _ in range(1000)))

    assert set(found) == {"hunter2"}
    assert fake.server.count("read db") == 1


async def test_within_the_interval_a_read_serves_who_comes_later(fake: FakeStores) -> None:
    fake.store(interval=15)
    fake.server.values["db"] = "old"
    await fake.read()
    fake.server.values["db"] = "new"

    await asyncio.sleep(14)
    assert await fake.read() == "old"
    await asyncio.sleep(2)
    assert await fake.read() == "new"
    assert fake.server.count("read db") == 2


async def test_a_key_is_inspected_past_what_was_read(fake: FakeStores) -> None:
    fake.store(interval=15)
    fake.server.values["db"] = "old"
    await fake.read()
    fake.server.values["db"] = "new"

    assert revealed(await fake.stores.inspect(ref(), "shop", "db")) == "new"
    assert await fake.read() == "old"


async def test_when_the_interval_is_over_no_value_is_kept(fake: FakeStores) -> None:
    fake.store(interval=15)
    await fake.read()
    assert len(fake.stores._cache) == 1

    await asyncio.sleep(15.1)

    assert len(fake.stores._cache) == 0


async def test_who_wants_it_fresh_asks_the_store_and_serves_the_others(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "old"
    await fake.read()
    fake.server.values["db"] = "new"

    assert await asyncio.gather(*(fake.read(fresh=True) for _ in range(10))) == ["new"] * 10
    assert await fake.read() == "new"
    assert fake.server.count("read db") == 2


async def test_late_fresh_reads_share_one_request_that_begins_after_them(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "leaked"
    fake.server.delay = 2
    periodic = asyncio.create_task(fake.read())
    await fake.until(lambda: fake.server.count("read db") == 1)
    fake.server.values["db"] = "new"

    late = []
    for _ in range(10):
        late.append(asyncio.create_task(fake.read(fresh=True)))
        await asyncio.sleep(0.1)

    assert await periodic == "leaked"
    assert await asyncio.gather(*late) == ["new"] * 10
    assert await fake.read() == "new"
    assert fake.server.count("read db") == 2


async def test_fresh_reads_share_a_request_that_is_not_sent_yet(fake: FakeStores) -> None:
    fake.store(rate=1)
    fake.server.values |= {"db": "old", "other": "x"}
    for _ in range(20):  # until the next one waits for the rate
        await fake.read("other", fresh=True)
    periodic = asyncio.create_task(fake.read())
    await asyncio.sleep(0.2)
    assert not fake.server.count("read db")
    fake.server.values["db"] = "new"

    assert await asyncio.gather(*(fake.read(fresh=True) for _ in range(500))) == ["new"] * 500
    assert await periodic == "new"
    assert fake.server.count("read db") == 1


async def test_a_fresh_read_follows_one_that_fails(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "new"
    fake.server.delay = 2
    fake.server.mood = lambda number: away(number) if number == 1 else None
    periodic = asyncio.create_task(fake.refusal())
    await fake.until(lambda: fake.server.count("read db") == 1)

    assert await fake.read(fresh=True) == "new"
    assert isinstance(await periodic, Unreachable)


async def test_a_fresh_read_does_not_wait_for_a_read_before_a_write(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "old"
    fake.server.delay = 20
    before = asyncio.create_task(fake.read())
    await fake.until(lambda: fake.server.count("read db") == 1)
    follow_up = asyncio.create_task(fake.read(fresh=True))
    await asyncio.sleep(0)
    fake.server.delay = 1
    await fake.stores.write(ref(), "shop", "db", Value.of_text("new"), Policy.REPLACE)

    began = now()
    assert await fake.read(fresh=True) == "new"
    assert now() - began < 5  # the first read lasts longer
    assert (await before, await follow_up) == ("old", "new")


async def test_closing_ends_the_reads_that_follow(fake: FakeStores) -> None:
    fake.store()
    fake.server.delay = 20
    before = asyncio.create_task(fake.refusal())
    await fake.until(lambda: fake.server.count("read db") == 1)
    follow_up = asyncio.create_task(fake.refusal(fresh=True))
    await asyncio.sleep(0)

    await fake.stores.close()

    assert ((await before).code, (await follow_up).code) == ("Closed", "Closed")


async def test_other_keys_and_versions_are_read_for_themselves(fake: FakeStores) -> None:
    fake.store()
    fake.server.values |= {"db": "one", "cache": "two"}

    await asyncio.gather(fake.read("db"), fake.read("cache"), fake.read("db", version="7"))

    assert (fake.server.count("read db"), fake.server.count("read cache")) == (2, 1)


async def test_a_store_of_the_same_name_elsewhere_shares_nothing(fake: FakeStores) -> None:
    fake.store(namespace="shop"), fake.store(namespace="office")

    await asyncio.gather(fake.read(namespace="shop"), fake.read(namespace="office"))

    assert fake.server.count("read db") == 2


async def test_a_namespace_with_a_door_of_its_own_never_gets_what_another_read(fake: FakeStores) -> None:
    fake.cluster_store(by_namespace=True)
    fake.server.values |= {"shop:db": "of shop", "office:db": "of office"}

    found = await asyncio.gather(
        *(fake.read("db", cluster_ref(), namespace=namespace) for namespace in ("shop", "office", "shop"))
    )

    assert found == ["of shop", "of office", "of shop"]
    assert fake.server.count("read db") == 2


async def test_one_who_goes_away_cancels_no_other_read(fake: FakeStores) -> None:
    fake.store()
    fake.server.delay = 2
    first = asyncio.create_task(fake.read())
    await asyncio.sleep(1)
    second = asyncio.create_task(fake.read())
    await asyncio.sleep(0)

    first.cancel()

    assert await second == "hunter2"
    assert first.cancelled()
    assert fake.server.count("read db") == 1


async def test_more_than_the_cache_holds_pushes_out_what_was_kept_longest(fake: FakeStores) -> None:
    fake.stores._cache._largest = 3 * 1024 * 1024
    fake.store()
    fake.server.values |= {f"k{number}": "x" * 1_000_000 for number in range(5)}

    for number in range(5):
        await fake.read(f"k{number}")
    for number in (4, 3, 0):
        await fake.read(f"k{number}")

    assert [fake.server.count(f"read k{number}") for number in (4, 3, 0)] == [1, 1, 2]


# Writes of a replica that may lead no more


async def test_a_replica_that_does_not_lead_changes_nothing(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "of the successor"
    fake.api.fence = now

    for change in (
        fake.stores.write(ref(), "shop", "db", Value(b"old"), Policy.REPLACE),
        fake.stores.delete(ref(), "shop", "db"),
    ):
        with pytest.raises(Conflict) as refused:
            await change
        assert refused.value.code == "NotLeading"

    assert fake.server.values == {"db": "of the successor"}


@pytest.mark.parametrize("leads_for", [1, 3], ids=["before the write", "during the write"])
async def test_a_replica_that_loses_its_lease_ends_a_write(fake: FakeStores, leads_for: float) -> None:
    """A frozen process writes after its successor, or the store answers late."""
    fake.store()
    fake.server.values["db"] = "old"
    fake.server.delay = 2
    until = now() + leads_for
    fake.api.fence = lambda: until

    with pytest.raises(Conflict):
        await fake.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE)

    assert fake.server.values == {"db": "old"}


async def test_a_lease_that_is_renewed_ends_no_slow_write(fake: FakeStores) -> None:
    fake.store()
    fake.server.delay = 9
    fake.api.fence = lambda: now() + 3

    written = await fake.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE)

    assert (written.outcome, fake.server.values) == (WriteResult.REPLACED, {"db": "new"})


async def test_a_read_from_before_a_write_is_not_kept(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "old"
    fake.server.delay = 2
    early = asyncio.create_task(fake.read())
    await asyncio.sleep(1)
    fake.server.delay = 0

    await fake.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE)
    await early

    assert await fake.read() == "new"


async def test_a_read_before_the_answer_to_a_write_is_of_what_the_store_has_by_then(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "old"
    await fake.read()
    fake.server.delay = 2
    writing = asyncio.create_task(fake.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE))
    await fake.until(lambda: fake.server.count("write db") == 1)
    fake.server.delay = 0
    fake.server.values["db"] = "new"  # its answer is on the way

    assert await fake.read() == "new"
    await writing


async def test_a_read_during_a_write_is_not_kept_after_it(fake: FakeStores) -> None:
    fake.store()
    fake.server.values["db"] = "old"
    fake.server.delay = 2
    writing = asyncio.create_task(fake.stores.write(ref(), "shop", "db", Value(b"new"), Policy.REPLACE))
    await fake.until(lambda: fake.server.count("write db") == 1)
    fake.server.delay = 0
    assert await fake.read() == "old"

    await writing

    assert await fake.read() == "new"


async def test_a_write_below_a_prefix_goes_there(fake: FakeStores) -> None:
    fake.cluster_store(prefix="{namespace}/")

    await fake.stores.write(cluster_ref(), "shop", "db", Value(b"ours"), Policy.REPLACE)
    assert fake.server.values == {"db": "hunter2", "shop/db": "ours"}
    with pytest.raises(Refused):
        await fake.stores.write(cluster_ref(), "shop", "../office/db", Value(b"theirs"), Policy.REPLACE)
    with pytest.raises(Refused):
        await fake.stores.delete(cluster_ref(), "shop", "../office/db")
    await fake.stores.delete(cluster_ref(), "shop", "db")

    assert fake.server.values == {"db": "hunter2"}


# The rate


async def test_requests_keep_to_the_rate_of_the_store(fake: FakeStores) -> None:
    fake.store(rate=50)
    fake.server.values |= {f"k{number}": "x" for number in range(400)}

    await asyncio.gather(*(fake.read(f"k{number}") for number in range(400)))

    times = sorted(when for when, what, _ in fake.server.asked if what.startswith("read"))
    in_any_second = max(sum(start <= other < start + 1 for other in times) for start in times)
    assert in_any_second <= 60
    assert 390 / 50 - 0.5 <= times[-1] - times[0] <= 8.5


async def test_what_would_have_to_wait_for_more_than_a_minute_fails_at_once(fake: FakeStores) -> None:
    fake.store(rate=1)
    fake.server.values |= {f"k{number}": "x" for number in range(100)}

    found = await asyncio.gather(*(fake.read(f"k{number}") for number in range(100)), return_exceptions=True)

    assert found[:61] == ["x"] * 61
    late = [error for error in found if isinstance(error, Throttled)]
    assert len(late) == 39
    assert {error.code for error in late} == {"RateLimit"}
    assert min(error.retry_after or 0 for error in late) > 60


async def test_no_more_than_twenty_requests_are_in_flight(fake: FakeStores) -> None:
    fake.store()
    fake.server.values |= {f"k{number}": "x" for number in range(60)}
    fake.server.delay = 1
    flying = [asyncio.create_task(fake.read(f"k{number}")) for number in range(60)]
    await asyncio.sleep(0.5)

    assert len(fake.server.asked) == 20
    await asyncio.gather(*flying)


async def test_namespaces_take_turns_at_a_shared_store(fake: FakeStores) -> None:
    fake.cluster_store(rate=20)
    many = [
        asyncio.create_task(fake.refusal(f"k{number}", cluster_ref(), namespace="shop"))
        for number in range(1000)
    ]
    await asyncio.sleep(0.1)
    began = now()

    assert await fake.read("db", cluster_ref(), namespace="office") == "hunter2"

    assert now() - began < 2
    assert sum(one.done() for one in many) < 100
    await asyncio.gather(*many)


async def test_keys_that_hang_leave_places_of_a_shared_store_to_other_namespaces(fake: FakeStores) -> None:
    fake.cluster_store()
    fake.server.values |= {"db": "hunter2"} | {f"k{number}": "x" for number in range(60)}
    fake.server.delay = 15
    hung = [
        asyncio.create_task(fake.read(f"k{number}", cluster_ref(), namespace="shop")) for number in range(60)
    ]
    await asyncio.sleep(0.1)
    assert len(fake.server.asked) == 16
    fake.server.delay = 0.0
    began = now()

    assert await fake.read("db", cluster_ref(), namespace="office") == "hunter2"

    assert now() - began < 1
    await asyncio.gather(*hung)


# Throttling


async def test_a_short_wish_is_waited_for(fake: FakeStores) -> None:
    fake.store()
    fake.server.mood = lambda number: Throttled("Status429", retry_after=3) if number == 1 else None

    assert await fake.read() == "hunter2"

    first, second = fake.server.times("read db")
    assert second - first >= 3


async def test_a_long_wish_is_reported_and_no_request_is_sent_before_it_is_over(fake: FakeStores) -> None:
    fake.store()
    fake.server.values |= {"db": "hunter2", "cache": "x"}
    fake.server.mood = lambda number: Throttled("Status429", retry_after=20) if number == 1 else None

    first = await fake.refusal()
    assert (type(first), first.retry_after) == (Throttled, 20)
    await asyncio.sleep(10)
    second = await fake.refusal("cache")
    assert (type(second), second.code) == (Throttled, "Paused")
    assert second.retry_after == pytest.approx(10)
    await asyncio.sleep(10.1)

    assert await fake.read("cache") == "x"
    assert [what for _, what, _ in fake.server.asked] == ["read db", "check", "read cache"]


# Silence


async def test_after_five_failures_no_request_is_sent_but_a_probe(fake: FakeStores) -> None:
    fake.store(interval=15)
    fake.server.mood = away
    for _ in range(5):
        await fake.refusal()
    asked = len(fake.server.asked)

    found = [await fake.refusal(f"k{number}") for number in range(100)]

    assert {(type(error), error.code) for error in found} == {(Unreachable, "NoAnswer")}
    assert len(fake.server.asked) == asked
    began = now()
    await asyncio.sleep(120)
    checks = [when - began for when in fake.server.times("check")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(checks)]
    assert gaps[:4] == pytest.approx([1, 2, 4, 8])
    assert set(map(round, gaps[4:])) == {15}


async def test_a_store_that_returns_is_found_within_an_interval_and_its_users_are_woken(
    fake: FakeStores,
) -> None:
    key = fake.store(interval=15)
    fake.server.mood = away
    for _ in range(5):
        await fake.refusal()
    await asyncio.sleep(3600)
    assert fake.recovered == []

    fake.server.mood = lambda _: None
    back = now()
    await fake.until(lambda: fake.recovered == [key])

    assert now() - back <= 15.1
    assert await fake.read() == "hunter2"
    await asyncio.sleep(3600)
    assert fake.recovered == [key]
    assert len(fake.server.asked) < 400


async def test_an_open_breaker_of_a_store_without_a_host_has_the_cause(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = lambda _: Unreachable("HostNotFound", host="vault.exmaple.com")
    for _ in range(5):
        await fake.refusal()
    await fake.until(lambda: fake.reason(key) == "HostNotFound")

    error = await fake.refusal()

    assert (error.code, error.host) == ("HostNotFound", "vault.exmaple.com")
    health = fake.stores.health(key)
    assert health
    assert not health.passes


async def test_one_store_that_is_away_holds_up_no_other(fake: FakeStores) -> None:
    fake.store("away"), fake.store("there")
    fake.server.mood = away
    for _ in range(6):
        await fake.refusal(store=ref("away"))
    fake.server.mood = lambda _: None

    assert await fake.read(store=ref("there")) == "hunter2"


async def test_a_store_that_hangs_is_found_out_after_half_a_minute_and_then_blocks_no_other(
    fake: FakeStores,
) -> None:
    fake.store()
    fake.server.delay = 3600
    began = now()

    found = await asyncio.gather(*(fake.refusal(f"k{number}") for number in range(1000)))

    assert {(type(error), error.code) for error in found} == {
        (Unreachable, "Timeout"),
        (Unreachable, "NoAnswer"),
    }
    assert 29.9 <= now() - began <= 30.1
    assert len([what for _, what, _ in fake.server.asked if what.startswith("read")]) <= 20
    await fake.refusal()
    assert now() - began <= 30.1


async def test_keys_that_a_store_cannot_answer_make_few_checks_and_no_news(fake: FakeStores) -> None:
    key = fake.cluster_store()
    fake.server.mood = lambda n: (
        Unreachable("MalformedAnswer") if fake.server.asked[n - 1][1] != "check" else None
    )
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "Valid")
    told = len(fake.turned)

    for number in range(50):
        broken = await fake.refusal(f"broken {number}", cluster_ref(), namespace="office")
        assert broken.code == "MalformedAnswer"

    assert fake.reason(key) == "Valid"
    assert (len(fake.turned), fake.recovered) == (told, [])
    assert fake.server.count("check") <= 11


async def test_a_store_that_answers_nothing_but_its_trouble_is_reported_and_found_again(
    fake: FakeStores,
) -> None:
    key = fake.store()
    fake.stores.health(key)
    await fake.until(lambda: fake.reason(key) == "Valid")
    fake.server.mood = lambda _: Unreachable("Status503")
    for number in range(5):
        await fake.refusal(f"k{number}")

    await fake.until(lambda: fake.reason(key) == "Unreachable", 60)
    assert (
        await fake.refusal("k6")
    ).code == "Status503"  # it is still asked: who knows of which keys it speaks

    fake.server.mood = lambda _: None
    await fake.until(lambda: fake.recovered == [key], 60)
    assert (fake.reason(key), await fake.read()) == ("Valid", "hunter2")


# Ends


async def test_when_the_operator_ends_no_read_is_left_waiting_and_nothing_is_kept(fake: FakeStores) -> None:
    fake.store()
    fake.server.values |= {"db": "hunter2", "slow": "x"}
    await fake.read()
    fake.server.delay = 5
    waiting = asyncio.create_task(fake.refusal("slow"))
    await asyncio.sleep(1)

    await fake.stores.close()

    assert (await waiting).code == "Closed"
    assert (await fake.refusal()).code == "Closed"
    assert len(fake.stores._cache) == 0
    assert fake.server.closed == fake.server.opened
    assert len(asyncio.all_tasks()) == 1


async def test_a_changed_store_is_opened_again_and_the_reads_of_the_old_one_end(fake: FakeStores) -> None:
    fake.store()
    fake.server.values |= {"db": "hunter2", "cache": "x"}
    fake.server.delay = 5
    early = asyncio.create_task(fake.refusal())
    await asyncio.sleep(1)

    fake.store()
    other = asyncio.create_task(fake.read("cache"))
    await asyncio.sleep(1)
    assert (await early).code == "Closed"
    assert (fake.server.opened, fake.server.closed) == (2, 1)
    assert await other == "x"


async def test_what_is_written_to_a_store_that_is_changed_meanwhile_is_written(fake: FakeStores) -> None:
    fake.store()
    fake.server.delay = 5
    early = asyncio.create_task(fake.stores.write(ref(), "shop", "new", Value.of_text("x"), Policy.REPLACE))
    await asyncio.sleep(1)

    fake.store()
    await fake.read()
    await early

    assert fake.server.values["new"] == "x"


async def test_a_store_that_hangs_costs_no_more_with_each_change_of_its_spec(fake: FakeStores) -> None:
    fake.server.delay = 20
    waiting = []
    for _ in range(50):
        fake.store()
        waiting += [asyncio.create_task(fake.refusal(f"k{number}")) for number in range(10)]
        await asyncio.sleep(0.1)

    assert len([one for one in waiting if not one.done()]) <= 10
    assert len(asyncio.all_tasks()) < 40
    await asyncio.gather(*waiting)


async def test_a_store_that_does_not_answer_is_no_new_one_with_other_settings(fake: FakeStores) -> None:
    key = fake.store()
    fake.server.mood = away
    for _ in range(5):
        await fake.refusal()

    fake.store()
    reads = fake.server.count("read db")
    assert (await fake.refusal()).code == "NoAnswer"
    assert fake.server.count("read db") == reads
    assert fake.server.count("check") > 0

    fake.server.mood = lambda _: None
    await fake.until(lambda: fake.recovered == [key], 3)
    assert await fake.read() == "hunter2"


async def test_a_store_that_had_no_time_to_answer_is_not_silent(fake: FakeStores) -> None:
    fake.server.delay = 0.3
    for _ in range(10):
        fake.store()
        reading = asyncio.create_task(fake.refusal())
        await asyncio.sleep(0.2)
        reading.cancel()

    fake.store()
    assert await fake.read() == "hunter2"


async def test_a_store_that_comes_again_under_its_name_is_no_new_one_for_ten_minutes(
    fake: FakeStores,
) -> None:
    tidying = asyncio.create_task(fake.stores.run())
    key = fake.store()
    fake.server.mood = away
    for _ in range(5):
        await fake.refusal()

    fake.stores.forget(key)
    fake.store()
    assert (await fake.refusal()).code == "NoAnswer"

    fake.stores.forget(key)
    fake.server.mood = lambda _: None
    await asyncio.sleep(700)
    fake.store()
    assert await fake.read() == "hunter2"
    tidying.cancel()


async def test_a_changed_store_is_asked_no_faster_than_before(fake: FakeStores) -> None:
    began = now()
    for number in range(10):
        fake.store(rate=1)
        await fake.refusal(f"k{number}")

    assert now() - began >= 8.9


async def test_a_namespace_has_a_thousand_reads_under_way_and_leaves_the_others_alone(
    fake: FakeStores,
) -> None:
    fake.cluster_store()
    fake.server.delay = 1
    many = [
        asyncio.create_task(fake.refusal(f"k{number}", cluster_ref(), namespace="shop"))
        for number in range(1001)
    ]
    await asyncio.sleep(0.1)

    (turned_away,) = (one.result() for one in many if one.done())
    assert (type(turned_away), turned_away.code) == (Throttled, "TooManyReads")
    assert turned_away.retry_after == 10
    assert await fake.read("db", cluster_ref(), namespace="office") == "hunter2"
    await asyncio.gather(*many)
    assert (await fake.refusal("more", cluster_ref(), namespace="shop")).code == "NoSuchKey"


async def test_a_store_that_was_away_is_looked_for_no_more_once_it_has_other_settings(
    fake: FakeStores,
) -> None:
    fake.store()
    fake.server.mood = away
    fake.server.delay = 5
    late = [asyncio.create_task(fake.refusal(f"k{number}")) for number in range(30)]
    await asyncio.sleep(1)

    fake.store()
    fake.server.mood, fake.server.delay = (lambda _: None), 0
    assert await fake.read() == "hunter2"
    await asyncio.gather(*late)
    asked = len(fake.server.asked)
    await asyncio.sleep(3600)

    assert len(fake.server.asked) == asked
    assert fake.server.opened - fake.server.closed == 1
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_unused_for_long_is_closed_and_opened_again_on_use(fake: FakeStores) -> None:
    fake.store()
    tidying = asyncio.create_task(fake.stores.run())
    await fake.read()
    await asyncio.sleep(500)
    assert fake.server.closed == 0
    await asyncio.sleep(300)
    assert fake.server.closed == 1

    assert await fake.read() == "hunter2"
    assert fake.server.opened == 2
    tidying.cancel()


async def test_a_cached_value_is_not_given_to_a_namespace_that_is_no_longer_allowed(fake: FakeStores) -> None:
    fake.cluster_store(names=["shop", "office"])
    await fake.read("db", cluster_ref(), namespace="office")

    fake.cluster_store(names=["shop"])

    with pytest.raises(Stalled, match="does not allow the namespace 'office'"):
        await fake.read("db", cluster_ref(), namespace="office")


async def test_another_server_is_not_asked_to_revoke_a_lease_and_counts_no_refusal(fake: FakeStores) -> None:
    auth = {"token": {"secretRef": {"name": "login", "key": "token"}}}
    settings: dict[str, Any] = {
        "server": "https://new.test",
        "engine": "dynamic",
        "mount": "database",
        "auth": auth,
    }
    fake.store(provider="vault", **settings)
    lease = ProviderLease("database/creds/a/1", "", timedelta(hours=1), "https://old.test/#database")
    sample = (
        "keyturn_provider_requests_total",
        {"provider": "vault", "operation": "revoke", "code": "Refused"},
    )
    before = metrics.REGISTRY.get_sample_value(*sample)

    with pytest.raises(Refused, match="OtherServer"):
        await fake.stores.revoke_lease(ref(), "shop", "creds/a", lease)

    assert metrics.REGISTRY.get_sample_value(*sample) == before
    assert fake.api.asked == []


run_in_no_time(globals())
