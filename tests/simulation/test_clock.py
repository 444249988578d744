"""A clock that is set causes at most one rotation, undoes nothing and stops nothing."""

from datetime import timedelta
from typing import Any

import pytest

from keyturn.api import ManagedSecret
from keyturn.core.labels import ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster

HOUR = timedelta(hours=1)
MONTHLY: dict[str, Any] = {"every": "30d", "jitter": "0%", "overlap": "0s"}


async def rotating(**rotation: Any) -> Cluster:
    """Start a cluster with a Secret that one workload reads."""
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Cluster({"data": data, "rotation": MONTHLY | rotation})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    return cluster


def ask(cluster: Cluster, text: str = "leaver") -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = text
    cluster.touch_managed()


def put_back(cluster: Cluster, time: timedelta) -> None:
    """Put the clock back, and let the operator start anew, so that it reads its record."""
    cluster.now -= time
    cluster._start()


def revision(cluster: Cluster) -> int:
    return state_of(cluster.objects[STATE]).facts.current_number


def conditions(cluster: Cluster) -> dict[str, str]:
    status = ManagedSecret.model_validate(cluster.objects[MANAGED]).status
    return {one.type: one.status for one in status.conditions}


def is_well(cluster: Cluster) -> bool:
    well = {"Ready": "True", "Rotating": "False", "WorkloadsCurrent": "True", "PolicyCompliant": "True"}
    return conditions(cluster) == well


async def test_drift_is_repaired_at_once_after_a_clock_that_was_ahead_is_set_right() -> None:
    cluster = await rotating()
    before = cluster.data()
    cluster.now += 6 * HOUR
    cluster.edit_target("password", "ZWRpdGVk")
    await cluster.settle()
    assert cluster.data() == before

    cluster.now -= 6 * HOUR
    cluster.edit_target("password", "ZWRpdGVk")
    cluster.tell()
    await cluster.look()

    assert cluster.data() == before


@pytest.mark.parametrize("days", [31, 90, 4000])
async def test_a_clock_that_jumps_ahead_past_many_dates_causes_one_rotation(days: int) -> None:
    cluster = await rotating()

    cluster.now += timedelta(days=days)
    await cluster.settle()
    await cluster.settle()

    assert revision(cluster) == 2
    assert cluster.pods["api"].restarted_for == [2]
    assert is_well(cluster)


async def test_a_clock_that_jumps_ahead_past_many_windows_causes_one_rotation() -> None:
    cluster = await rotating(windows=[{"cron": "0 2 * * *", "duration": "1h"}])

    cluster.now += timedelta(days=90)
    await cluster.settle()
    assert revision(cluster) == 1, "it waits for the next window"
    for _ in range(3):
        cluster.now = cluster.now.replace(hour=2) + timedelta(days=1)
        await cluster.settle()

    assert revision(cluster) == 2
    assert is_well(cluster)


@pytest.mark.parametrize("back", [HOUR, 23 * HOUR], ids=["an hour", "23 hours"])
async def test_a_clock_that_is_put_back_undoes_nothing_and_stops_nothing(back: timedelta) -> None:
    cluster = await rotating()
    ask(cluster)
    await cluster.settle()
    before, writes = cluster.data(), cluster.writes

    put_back(cluster, back)
    await cluster.settle()

    assert cluster.data() == before
    assert cluster.writes == writes
    assert is_well(cluster)


async def test_a_clock_that_is_put_back_in_the_midst_of_a_rotation_lets_it_continue() -> None:
    cluster = await rotating()
    for looks in range(1, 9):
        ask(cluster, f"leaver-{looks}")
        for _ in range(looks):
            cluster.tell()
            await cluster.look()

        put_back(cluster, HOUR)
        await cluster.settle()

        assert revision(cluster) == looks + 1
        assert is_well(cluster)
    assert cluster.pods["api"].restarted_for == list(range(2, 10))


async def test_an_interval_continues_after_the_clock_was_put_back() -> None:
    cluster = await rotating()

    put_back(cluster, HOUR)
    await cluster.settle()
    cluster.now += timedelta(days=30)
    await cluster.settle()
    assert revision(cluster) == 1
    cluster.now += HOUR
    await cluster.settle()

    assert revision(cluster) == 2


async def test_a_record_of_far_ahead_is_not_believed() -> None:
    cluster = await rotating()

    put_back(cluster, timedelta(days=2))
    ask(cluster)
    await cluster.settle()

    assert conditions(cluster)["Stalled"] == "True"
    assert revision(cluster) == 1
