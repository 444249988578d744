"""Values of one Secret with a schedule each: every one rotates at its own date, and restarts are gathered."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.api import ManagedSecret
from keyturn.core.labels import ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster

_DAY = timedelta(days=1)


def value(name: str, every: str | None = None, **more: Any) -> dict[str, Any]:
    rotation = {"every": every, **more} if every else None
    return {"name": name, "generate": {"password": {}}, **({"rotation": rotation} if rotation else {})}


async def guide() -> Cluster:
    """Return the Secret of the guide: a signing key for 180 days, and a database password for 90."""
    data = [value("jwt-secret"), value("db-password", "90d", overlap="2h")]
    cluster = Cluster({"data": data, "rotation": {"every": "180d"}})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    return cluster


def status_of(cluster: Cluster) -> Any:
    return ManagedSecret.model_validate(cluster.objects[MANAGED]).status


def next_of(cluster: Cluster) -> datetime:
    found: datetime | None = status_of(cluster).next_rotation_time
    assert found
    return found


async def test_a_year_of_the_guide() -> None:
    cluster = await guide()
    end, made, before = cluster.now + 365 * _DAY, {"jwt-secret": 0, "db-password": 0}, cluster.data()

    while (announced := next_of(cluster)) < end:
        cluster.now = announced - 2 * timedelta(seconds=1)
        await cluster.look()
        assert cluster.data() == before, "it rotates before its date"
        cluster.now = announced
        await cluster.settle()
        changed = {name for name, text in cluster.data().items() if before.get(name) != text}
        for name in changed & made.keys():
            made[name] += 1
        assert changed & made.keys()
        cluster.now += timedelta(hours=3)
        await cluster.settle()
        before = cluster.data()

    assert made == {"jwt-secret": 2, "db-password": 4}
    assert cluster.pods["api"].restarted_for == [2, 3, 4, 5]  # both are due together twice


async def test_the_status_has_the_date_of_each_value() -> None:
    cluster = await guide()
    first = {one.name: one for one in status_of(cluster).values}
    cluster.now = next_of(cluster)
    await cluster.settle()

    second = {one.name: one for one in status_of(cluster).values}
    assert second["jwt-secret"] == first["jwt-secret"]
    assert second["db-password"].last_rotation_time >= first["db-password"].next_rotation_time
    assert second["db-password"].schedule == "every 90d, jitter 10%"
    assert status_of(cluster).last_rotation_time == second["db-password"].last_rotation_time


@pytest.mark.parametrize("write", [1, 1.5, 2, 2.5, 3, 3.5, 4])
async def test_a_crash_during_the_rotation_of_one_value_keeps_the_other(write: float) -> None:
    cluster = await guide()
    before = cluster.data()
    cluster.now = next_of(cluster)

    cluster.dies_at = cluster.writes + write
    await cluster.settle()

    assert cluster.data()["jwt-secret"] == before["jwt-secret"]
    assert cluster.data()["db-password"] != before["db-password"]
    assert state_of(cluster.objects[STATE]).facts.current_number == 2


async def test_a_rotation_that_fails_is_due_again() -> None:
    cluster = await guide()
    cluster.doomed = {2}
    cluster.now = next_of(cluster)
    await cluster.settle()
    cluster.now += timedelta(minutes=11)
    await cluster.settle()

    facts = state_of(cluster.objects[STATE]).facts
    assert facts.current_number == 1
    assert facts.dates == {"db-password": facts.rotated}


async def test_a_request_rotates_every_value_and_each_interval_starts_again() -> None:
    cluster = await guide()
    cluster.now += 80 * _DAY
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "now"
    cluster.touch_managed()
    await cluster.settle()

    values = status_of(cluster).values
    assert len({one.last_rotation_time for one in values}) == 1
    assert next_of(cluster) > cluster.now + 75 * _DAY


async def test_the_overlap_is_the_longest_of_the_rotated_values() -> None:
    cluster = await guide()
    cluster.change_managed()["data"] = [
        {**value("jwt-secret"), "keepPrevious": True},
        {**value("db-password", "90d", overlap="2h"), "keepPrevious": True},
    ]
    await cluster.settle()
    cluster.now = next_of(cluster)
    await cluster.settle()

    assert "db-password.previous" in cluster.data()
    assert "jwt-secret.previous" not in cluster.data()
    until = status_of(cluster).previous.valid_until
    assert timedelta(hours=1, minutes=55) < until - cluster.now <= timedelta(hours=2)


async def test_a_new_schedule_of_a_value_changes_nothing_at_once() -> None:
    cluster = Cluster({"data": [value("a"), value("b")], "rotation": {"every": "180d"}})
    await cluster.settle()
    before = cluster.data()
    cluster.now += 50 * _DAY

    cluster.change_managed()["data"] = [value("a"), value("b", "60d")]
    await cluster.settle()

    assert cluster.data() == before
    assert next_of(cluster) < cluster.now + 11 * _DAY


async def test_a_lost_state_postpones_no_value() -> None:
    cluster = await guide()
    cluster.now = next_of(cluster)
    await cluster.settle()
    before = status_of(cluster).values

    del cluster.objects[STATE]
    await cluster.settle()

    assert status_of(cluster).values == before
    assert {one.name for one in before} == {"jwt-secret", "db-password"}
