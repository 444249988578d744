"""A class that changes rotates nothing before its date of the spread, wherever the operator dies."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import MANAGED, Cluster

DATA = [{"name": "password", "generate": {"password": {"length": 32}}}]
LONG: dict[str, Any] = {"rotation": {"every": "365d", "jitter": "0%"}}
SHORT: dict[str, Any] = {"rotation": {"every": "90d", "jitter": "0%"}}
SPREAD = timedelta(days=9)


class Classed(Cluster):
    """A ManagedSecret whose class outlives each process."""

    klass: Body

    def give_class(self, spec: dict[str, Any], version: int) -> None:
        name = {"name": "web", "uid": "uid-of-class", "resourceVersion": str(version), "generation": version}
        self.klass = {"metadata": name, "spec": spec}
        self.context.cache.put_class(self.klass)

    def restart(self) -> None:
        super().restart()
        self.context.cache.put_class(self.klass)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.objects[MANAGED]["status"]
        return found

    def date(self, name: str) -> datetime:
        return datetime.fromisoformat(self.status[name])


async def aged() -> Classed:
    """Make a ManagedSecret with values of 200 days and a workload, of a class whose interval is a year."""
    cluster = Classed({"data": DATA, "className": "web", "rollout": {"debounce": "0s"}})
    cluster.give_class(LONG, 1)
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=200)
    return cluster


async def test_a_class_that_changes_while_the_operator_is_down_starts_no_storm() -> None:
    cluster = await aged()
    cluster.klass = {
        **cluster.klass,
        "spec": SHORT,
        "metadata": cluster.klass["metadata"] | {"generation": 2},
    }
    cluster.restart()
    started = cluster.now
    await cluster.settle()

    due = cluster.date("nextRotationTime")
    assert started - timedelta(seconds=1) <= due <= cluster.now + SPREAD
    assert (cluster.status["revision"], cluster.status["overdue"]) == (1, False)
    assert cluster.pods["api"].restarted_for == []


@pytest.mark.parametrize("write", [place / 2 for place in range(2, 12)], ids=str)
async def test_it_rotates_once_and_not_before_its_date_wherever_the_operator_dies(write: float) -> None:
    cluster = await aged()
    cluster.give_class(SHORT, 2)
    changed = cluster.now
    cluster.dies_at = cluster.writes + write
    await cluster.settle()
    due = cluster.date("nextRotationTime")
    cluster.restart()
    await cluster.settle()
    assert cluster.status["revision"] == 1 or due <= changed + timedelta(minutes=5)
    assert cluster.date("nextRotationTime") == due

    cluster.now = max(cluster.now, due)
    await cluster.settle()

    assert cluster.date("lastRotationTime") >= due
    assert (cluster.status["revision"], cluster.pods["api"].restarted_for) == (2, [2])
    assert cluster.dies_at is None


async def test_restarts_of_the_operator_postpone_nothing() -> None:
    cluster = await aged()
    cluster.give_class(SHORT, 2)
    await cluster.settle()
    due = cluster.date("nextRotationTime")

    for _ in range(5):
        cluster.now += timedelta(hours=1)
        cluster.restart()
        await cluster.settle()

    assert cluster.date("nextRotationTime") == due
