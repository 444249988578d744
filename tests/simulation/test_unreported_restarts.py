"""A rollback right after a restart that no status has reported yet: the workload returns, and keeps its login."""

from datetime import timedelta

from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_account import ACCOUNT, Account
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster


async def with_unreported_restart(doomed: set[int]) -> Cluster:
    """Make a cluster whose workload was restarted with revision 3, while the status has it with revision 2."""
    data = [{"name": "password", "generate": {"password": {}}}]
    rollout = {"progressDeadline": "60s", "debounce": "0s"}
    cluster = Cluster({"data": data, "rotation": {"overlap": "0s"}, "rollout": rollout})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    ask(cluster, ROTATE, "one")
    await cluster.settle()
    cluster.now += timedelta(days=1)
    cluster.doomed = doomed
    ask(cluster, ROTATE, "two")
    await look_until_restarted(cluster, 3)
    assert cluster.objects[MANAGED]["status"]["workloads"][0]["revision"] == 2
    return cluster


async def look_until_restarted(cluster: Cluster, number: int) -> None:
    for _ in range(20):
        cluster.tell()
        await cluster.look()
        if cluster.pods["api"].restarted_for[-1:] == [number]:
            return
    raise AssertionError(f"the workload is not restarted with revision {number}")


def ask(cluster: Cluster, annotation: str, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][annotation] = text
    cluster.touch_managed()


def assert_returned(cluster: Cluster) -> None:
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert state_of(cluster.objects[STATE]).facts.current_number == 2
    assert (row["state"], row["revision"], row.get("reason")) == ("Current", 2, None)
    assert cluster.pods["api"].read == cluster.data()


async def test_a_workload_returns_when_a_user_rolls_back_before_the_report() -> None:
    cluster = await with_unreported_restart(set())
    ask(cluster, ROLLBACK, "2")
    await cluster.settle()
    assert_returned(cluster)


async def test_a_workload_returns_when_the_next_process_finds_a_failed_rollout() -> None:
    cluster = await with_unreported_restart({3})
    cluster.restart()
    cluster.finish_rollouts()
    cluster.now += timedelta(minutes=15)
    await cluster.settle()
    assert_returned(cluster)


async def test_the_way_back_is_not_complete_because_of_a_status_from_before_it() -> None:
    cluster = await with_unreported_restart(set())
    cluster.finish_rollouts()
    ask(cluster, ROLLBACK, "2")
    await look_until_restarted(cluster, 2)
    cluster.tell()
    await cluster.look()
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (row["state"], row["revision"]) == ("Rolling", 2), "its controller has not observed the restart"
    await cluster.settle()
    assert_returned(cluster)


def test_the_login_of_the_restarted_pods_stays_open_until_they_have_returned() -> None:
    rotation = {"every": "90d", "overlap": "10m"}
    one = Account({"rotation": rotation, "rollout": {"debounce": "0s"}, "account": dict(ACCOUNT)})
    one.settle()
    one.add_workload()
    one.rotate("one")
    one.settle()
    one.rotate("two")
    one.settle_until("RollOut")
    one.roll_back(2)
    one.settle()
    assert one.marker == "db=2"
    assert {pod.login for pod in one.pods} == {one.read["current"]}
