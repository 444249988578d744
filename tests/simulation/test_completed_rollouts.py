"""A rollout that was complete is not rolled back because of what fails later."""

from datetime import timedelta
from typing import Any

import pytest

from keyturn.api import ManagedSecret
from keyturn.api.status import ManagedSecretStatus
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster
from tests.simulation.test_argo_rollouts import BlueGreenCluster
from tests.simulation.test_other_pods import bare_pod

PASSWORD: dict[str, Any] = {"name": "password", "generate": {"password": {}}}


async def rotated(made: type[Cluster] = Cluster) -> Cluster:
    """Return a cluster at rest whose second revision was rolled out ten days ago."""
    rollout = {"progressDeadline": "30s", "debounce": "0s"}
    cluster = made({"data": [PASSWORD], "rotation": {"overlap": "0s"}, "rollout": rollout})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    request(cluster, "first")
    await cluster.settle()
    cluster.now += timedelta(days=10)
    return cluster


def request(cluster: Cluster, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = text
    cluster.touch_managed()


def break_pods(cluster: Cluster) -> None:
    """Make the pods of the workload unavailable, as at the drain of a node."""
    cluster.observe("api", available=0)
    cluster._stamp(cluster.objects[cluster.path_of("api")])


def status_of(cluster: Cluster) -> ManagedSecretStatus:
    return ManagedSecret.model_validate(cluster.objects[MANAGED]).status


def current(cluster: Cluster) -> int:
    return state_of(cluster.objects[STATE]).facts.current_number


def recreate(cluster: Cluster) -> None:
    cluster.create_managed(cluster.objects[MANAGED]["spec"])


def lose_status(cluster: Cluster) -> None:
    del cluster.objects[MANAGED]["status"]
    cluster.touch_managed()
    cluster.restart()


@pytest.mark.parametrize("happens", [recreate, lose_status])
async def test_values_stay_when_the_status_is_new_while_a_pod_is_unavailable(happens: Any) -> None:
    cluster = await rotated()
    before = cluster.data()
    happens(cluster)
    break_pods(cluster)

    await cluster.settle()
    cluster.now += timedelta(hours=1)
    await cluster.settle()

    assert cluster.data() == before
    assert current(cluster) == 2
    assert [(one.state, one.revision) for one in status_of(cluster).workloads] == [("Current", 2)]
    assert cluster.pods["api"].restarted_for == [2]


async def test_the_next_revision_falls_back_to_the_one_before_a_recreation() -> None:
    cluster = await rotated()
    recreate(cluster)
    await cluster.settle()
    cluster.doomed = {3}
    request(cluster, "second")
    await cluster.settle()

    assert current(cluster) == 2


async def test_a_rollout_of_an_earlier_object_that_fails_is_reported_and_changes_no_value() -> None:
    cluster = await rotated()
    cluster.doomed = {3}
    request(cluster, "second")
    while cluster.pods["api"].restarted_for != [2, 3]:
        cluster.tell()
        await cluster.look()
    recreate(cluster)
    await cluster.settle()
    cluster.now += timedelta(hours=1)
    await cluster.settle()

    assert current(cluster) == 3
    assert [one.state for one in status_of(cluster).workloads] == ["Failed"]
    stalled = next(one for one in status_of(cluster).conditions if one.type == "Stalled")
    assert stalled.reason == "RolloutFailed"


async def keeping_earlier_pods(waited: timedelta) -> Cluster:
    """Return a cluster whose third revision was rolled out some time ago, and whose earlier pods still run."""
    cluster = await rotated(BlueGreenCluster)
    cluster.grace = timedelta(hours=1)
    request(cluster, "second")
    end = cluster.now + waited
    while cluster.now < end:
        cluster.tell()
        due = await cluster.look()
        cluster.finish_rollouts()
        cluster.now = max(cluster.now, min(due or end, end))
    assert [(one.state, one.reason) for one in status_of(cluster).workloads] == [("Rolling", "EarlierPods")]
    return cluster


@pytest.mark.parametrize("restarts", [False, True], ids=["the same process", "a new process"])
async def test_a_pod_that_fails_while_earlier_pods_are_kept_causes_no_rollback(*, restarts: bool) -> None:
    cluster = await keeping_earlier_pods(timedelta(minutes=25))
    before = cluster.data()
    if restarts:
        cluster.restart()
    break_pods(cluster)
    for _ in range(20):
        cluster.tell()
        await cluster.look()

    assert (current(cluster), cluster.data()) == (3, before)
    assert [(one.state, one.reason) for one in status_of(cluster).workloads] == [("Rolling", "EarlierPods")]

    cluster.now += timedelta(hours=1)
    await cluster.settle()
    assert [(one.state, one.revision) for one in status_of(cluster).workloads] == [("Current", 3)]
    assert cluster.pods["api"].restarted_for == [2, 3]


async def test_pods_that_are_ready_for_a_moment_only_fail_as_before() -> None:
    cluster = await keeping_earlier_pods(timedelta(seconds=8))
    break_pods(cluster)
    for _ in range(40):
        cluster.tell()
        await cluster.look()

    assert current(cluster) == 2


async def test_a_pod_that_fails_after_a_rollback_that_waits_for_other_pods_is_no_failure_of_it() -> None:
    cluster = await rotated()
    request(cluster, "second")
    await cluster.settle()
    cluster.now += timedelta(minutes=5)
    cluster.other_pods.append(bare_pod(cluster))
    cluster.now += timedelta(minutes=5)
    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "2"
    cluster.touch_managed()
    for _ in range(10):
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        cluster.now += timedelta(minutes=1)
    rotation = status_of(cluster).rotation
    assert rotation is not None
    assert rotation.step == "WaitForPods"

    cluster.now += timedelta(hours=3)
    cluster.restart()
    break_pods(cluster)
    for _ in range(3):
        cluster.tell()
        await cluster.look()

    rows = [(one.name, one.state, one.reason) for one in status_of(cluster).workloads]
    assert rows == [("api", "Current", None), ("bare", "Pending", "NotRestartedByKeyturn")]
