"""A ManagedSecret whose spec is too large to be kept is read when its turn comes, and brought about like others."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.core.keys import ObjectKey
from tests.simulation.simulated_cluster import KEY, MANAGED, Cluster
from tests.simulation.simulated_stores import API, StoreCluster

SPEC: dict[str, Any] = {
    "data": [
        {"name": "password", "generate": {"password": {}}},
        *({"name": f"text-{number}", "literal": "x" * 16384} for number in range(4)),
    ]
}


def large() -> Cluster:
    return Cluster({**SPEC, "data": list(SPEC["data"])})


async def test_a_large_spec_is_published_and_followed() -> None:
    cluster = large()
    await cluster.settle()
    assert cluster.context.cache.is_large(KEY)
    assert sorted(cluster.data()) == ["password", *(f"text-{number}" for number in range(4))]

    cluster.change_managed()["data"].pop()
    await cluster.settle()

    assert sorted(cluster.data()) == ["password", *(f"text-{number}" for number in range(3))]
    assert not cluster.memory.large.has_turn(KEY)


async def test_a_large_spec_that_rests_is_not_changed() -> None:
    cluster = large()
    await cluster.settle()
    writes = cluster.writes
    cluster.restart()
    await cluster.settle()
    assert cluster.writes == writes


async def test_one_that_waits_for_its_turn_is_woken_when_it_comes() -> None:
    cluster = large()
    woken: list[ObjectKey] = []
    cluster.context.wake = woken.append
    others = [ObjectKey(f"other-{number}", "large") for number in range(4)]
    for other in others:
        assert cluster.memory.large.enter(other)
    cluster.tell()
    assert await cluster.look() is None
    assert cluster.data() == {}

    cluster.memory.large.leave(others[0])

    assert woken == [KEY]
    await cluster.settle()
    assert "password" in cluster.data()


async def test_one_that_is_gone_when_its_turn_comes_gives_it_back() -> None:
    cluster = large()
    cluster.tell()
    del cluster.objects[MANAGED]  # which no watch has told yet
    assert await cluster.look() is None
    assert not cluster.memory.large.has_turn(KEY)


@pytest.mark.usefixtures("impatient")
async def test_one_whose_stores_are_slow_holds_its_turn_until_they_have_answered() -> None:
    vault = {"kind": "SecretStore", "name": "vault"}
    pulled = {"name": "api-key", "from": {"storeRef": vault, "remoteRef": {"key": API}}}
    cluster = StoreCluster({"data": [*SPEC["data"], pulled]})
    answers = cluster.outside.hang(API)
    cluster.tell()
    await cluster.look()
    assert cluster.memory.large.has_turn(KEY), "what it is read for is in memory"

    reading = cluster.memory.stores.pulls.record(KEY).reading
    assert reading
    answers.set()
    await reading.task
    await cluster.settle()
    assert "api-key" in cluster.data()
    assert not cluster.memory.large.has_turn(KEY)


async def test_values_that_no_rotation_could_record_are_refused_before_they_are_published() -> None:
    items = [{"name": f"key-{number}", "generate": {"bytes": {"length": 4096}}} for number in range(80)]
    cluster = Cluster({"data": items})
    cluster.tell()
    await cluster.look()

    conditions = {one["type"]: one for one in cluster.objects[MANAGED]["status"]["conditions"]}
    assert conditions["Stalled"]["reason"] == "TooLarge"
    assert "that can be rotated" in conditions["Stalled"]["message"]
    assert cluster.data() == {}

    cluster.change_managed()["data"] = items[:60]
    await cluster.settle()
    assert len(cluster.data()) == 60
