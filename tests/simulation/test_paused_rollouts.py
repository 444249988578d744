"""A Deployment that is paused during its rollout is waited for, also by a new process."""

from datetime import timedelta

import pytest

from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import Cluster
from tests.simulation.test_completed_rollouts import current, request, rotated, status_of

LIVES = pytest.mark.parametrize("restarts", [False, True], ids=["one process", "new processes"])


def deployment(cluster: Cluster) -> Body:
    return cluster.objects[cluster.path_of("api")]


def change(cluster: Cluster, *, paused: bool) -> None:
    """Pause or resume the Deployment; its controller sees that later."""
    body = deployment(cluster)
    body["spec"]["paused"] = paused
    body["metadata"]["generation"] += 1
    cluster._stamp(body)


def follow(cluster: Cluster, *, updated: int) -> None:
    """Let the controller see the change, and report progress since then unless the Deployment is paused."""
    cluster.observe("api", available=1 - updated)
    body = deployment(cluster)
    state = "Unknown" if body["spec"]["paused"] else "True"
    progress = {"type": "Progressing", "status": state, "lastTransitionTime": cluster._second()}
    body["status"] |= {"updatedReplicas": updated, "conditions": [progress]}
    cluster._stamp(body)


async def look(cluster: Cluster, time: timedelta, *, restarts: bool) -> None:
    """Let time pass, in which the operator looks each second."""
    if restarts:
        cluster.restart()
    for _ in range(int(time.total_seconds())):
        cluster.tell()
        await cluster.look()


async def paused_in_rollout(*, restarts: bool) -> Cluster:
    cluster = await rotated()
    request(cluster, "second")
    while cluster.pods["api"].restarted_for != [2, 3]:
        cluster.tell()
        await cluster.look()
    change(cluster, paused=True)
    follow(cluster, updated=0)
    await look(cluster, timedelta(seconds=5), restarts=restarts)
    return cluster


@LIVES
async def test_a_pause_has_no_deadline_and_the_rollout_goes_on_after_it(*, restarts: bool) -> None:
    cluster = await paused_in_rollout(restarts=restarts)
    writes = cluster.writes
    cluster.now += timedelta(hours=6)
    await look(cluster, timedelta(seconds=5), restarts=restarts)

    assert (current(cluster), cluster.writes) == (3, writes)
    assert [(one.state, one.reason) for one in status_of(cluster).workloads] == [("Rolling", "Paused")]

    change(cluster, paused=False)
    await look(cluster, timedelta(seconds=2), restarts=restarts)
    follow(cluster, updated=1)
    await look(cluster, timedelta(seconds=20), restarts=restarts)
    assert [one.state for one in status_of(cluster).workloads] == ["Rolling"]

    cluster.observe("api", available=1)
    cluster._stamp(deployment(cluster))
    await cluster.settle()
    assert [(one.state, one.revision) for one in status_of(cluster).workloads] == [("Current", 3)]
    assert cluster.pods["api"].restarted_for == [2, 3]


@LIVES
async def test_the_deadline_counts_from_the_end_of_the_pause(*, restarts: bool) -> None:
    cluster = await paused_in_rollout(restarts=restarts)
    cluster.now += timedelta(hours=6)
    change(cluster, paused=False)
    await look(cluster, timedelta(seconds=2), restarts=restarts)
    follow(cluster, updated=1)
    await look(cluster, timedelta(seconds=25), restarts=restarts)
    assert current(cluster) == 3

    await look(cluster, timedelta(seconds=10), restarts=restarts)
    assert current(cluster) == 2
