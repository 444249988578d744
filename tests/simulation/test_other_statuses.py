"""A status that this version did not write, read by a new process: no workload is restarted."""

import copy
from typing import Any

from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.simulation.test_refused_restarts import SPEC, rotated


async def at_rest() -> Cluster:
    cluster = Cluster(SPEC)
    await cluster.settle()
    for name in ("api", "web"):
        cluster.add_workload(name, None)
    await cluster.settle()
    return cluster


def restarts(cluster: Cluster) -> dict[str, list[Any]]:
    return {pod: list(one.restarted_for) for pod, one in cluster.pods.items()}


async def reconcile_with(status: dict[str, Any], cluster: Cluster) -> dict[str, Any]:
    """Replace the status, start another process, and return the status that it writes."""
    cluster.objects[MANAGED]["status"] = status
    cluster.touch_managed()
    cluster.restart()
    cluster.context.since = cluster.now
    cluster.tell()
    await cluster.look()
    return dict(cluster.objects[MANAGED]["status"])


async def test_a_status_with_a_time_that_no_calendar_has_is_replaced_and_restarts_no_workload() -> None:
    cluster = await at_rest()
    status, before = copy.deepcopy(cluster.objects[MANAGED]["status"]), restarts(cluster)

    after = await reconcile_with(status | {"lastRotationTime": "0000-01-01T00:00:00Z"}, cluster)

    assert [after[name] for name in ("lastRotationTime", "revision", "workloads")] == [
        status[name] for name in ("lastRotationTime", "revision", "workloads")
    ]
    assert restarts(cluster) == before


async def test_a_status_with_fields_of_a_later_version_is_read() -> None:
    cluster, _ = await rotated(SPEC)
    status, before = copy.deepcopy(cluster.objects[MANAGED]["status"]), restarts(cluster)
    status["workloads"][0] |= {"reason": "OfALaterVersion", "more": 1}
    status["policy"] = {
        "violations": [{"rule": "ofALaterVersion", "item": "a", "message": "", "more": 1}],
        "more": 1,
    }

    after = await reconcile_with(status, cluster)

    assert restarts(cluster) == before
    assert [one["rule"] for one in after["policy"]["violations"]] == ["noSchedule"]
