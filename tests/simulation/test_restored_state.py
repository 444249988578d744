"""A state Secret from before later revisions was restored."""

import copy
from datetime import timedelta

from keyturn.core.labels import ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster


async def rotate(cluster: Cluster, trigger: str) -> None:
    cluster.now += timedelta(days=1)
    cluster.objects[MANAGED]["metadata"].setdefault("annotations", {})[ROTATE] = trigger
    cluster.touch_managed()
    await cluster.settle()


async def test_no_number_is_used_twice_and_a_failed_rollout_is_found() -> None:
    cluster = Cluster(
        {"data": [{"name": "password", "generate": {"password": {}}}], "rotation": {"overlap": "0s"}}
    )
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    await rotate(cluster, "first")
    backup = copy.deepcopy(cluster.objects[STATE])
    await rotate(cluster, "second")
    await rotate(cluster, "third")
    assert state_of(cluster.objects[STATE]).facts.current_number == 4

    cluster.put(STATE, backup)
    cluster.doomed = {5}
    await rotate(cluster, "fourth")
    assert cluster.pods["api"].restarted_for == [2, 3, 4, 5]

    cluster.now += timedelta(minutes=20)
    await cluster.settle()
    held = state_of(cluster.objects[STATE]).facts.rollback_pause
    assert held is not None
    assert (held.number, held.failed) == (5, True)


async def test_a_history_that_an_older_crd_removed_is_written_again() -> None:
    cluster = Cluster({"data": [{"name": "password", "generate": {"password": {}}}]})
    await cluster.settle()
    for trigger in ("first", "second", "third"):
        await rotate(cluster, trigger)
    before = cluster.objects[MANAGED]["status"]["history"]
    assert [one["revision"] for one in before] == [4, 3, 2, 1]

    def rows() -> list[tuple[int, str, str, str]]:
        return [
            (one["revision"], one["reason"], one["startedAt"], one["result"])
            for one in cluster.objects[MANAGED]["status"]["history"]
        ]

    whole = rows()
    del cluster.objects[MANAGED]["status"]["history"]
    await rotate(cluster, "fourth")
    assert rows()[1:] == whole
    assert rows()[0][0] == 5
    assert cluster.objects[MANAGED]["status"]["history"][2:] == before[1:]
