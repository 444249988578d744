"""A revision that is recorded and cannot be written to the Secret: no status claims that a workload runs it."""

from datetime import timedelta

import pytest

from keyturn.api import ManagedSecret
from keyturn.api.status import ManagedSecretStatus
from keyturn.core.labels import ROTATE
from keyturn.kube import errors
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import MANAGED, TARGET, Cluster
from tests.simulation.test_other_pods import bare_pod


class Refusing(Cluster):
    """May refuse changes of the Secret, as a quota or an admission webhook does."""

    refuses = False

    async def replace(self, path: str, body: Body) -> Body:
        if self.refuses and path == TARGET:
            raise errors.Forbidden("update", path, 403, "Forbidden")
        return await super().replace(path, body)


def rotate(cluster: Cluster, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = text
    cluster.touch_managed()


def status(cluster: Cluster) -> ManagedSecretStatus:
    return ManagedSecret.model_validate(cluster.objects[MANAGED]).status


def workloads_current(cluster: Cluster) -> tuple[str, str]:
    found = {one.type: one for one in status(cluster).conditions}["WorkloadsCurrent"]
    return found.status, found.reason


async def rotated(*, has_workload: bool) -> Refusing:
    """Return a cluster that waits for a bare pod with revision 1, and whose third revision cannot be written."""
    cluster = Refusing({"data": [{"name": "jwt", "generate": {"bytes": {}}}], "rotation": {"overlap": "0s"}})
    await cluster.settle()
    cluster.now += timedelta(minutes=1)
    cluster.other_pods.append(bare_pod(cluster, "debug"))
    if has_workload:
        cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    rotate(cluster, "first")
    await cluster.settle()
    assert workloads_current(cluster) == ("False", "NotRestartedByKeyturn")
    cluster.refuses = True
    rotate(cluster, "second")
    for _ in range(4):
        cluster.tell()
        await cluster.look()
        cluster.now += timedelta(minutes=5)
    found = status(cluster)
    assert (found.revision, found.rotation and found.rotation.step) == (2, "Publish")
    return cluster


async def test_without_workloads_it_is_unknown_what_pods_hold() -> None:
    cluster = await rotated(has_workload=False)
    assert workloads_current(cluster) == ("Unknown", "NotPublished")


async def test_a_workload_with_the_revision_before_is_not_current() -> None:
    cluster = await rotated(has_workload=True)
    assert workloads_current(cluster) == ("False", "RollingOut")
    assert [(one.name, one.state) for one in status(cluster).workloads] == [("api", "Pending")]
    assert cluster.pods["api"].restarted_for == [2]


@pytest.mark.parametrize("has_workload", [False, True])
async def test_the_verdict_is_the_same_as_before_once_it_is_written(has_workload: bool) -> None:
    cluster = await rotated(has_workload=has_workload)
    cluster.refuses = False
    await cluster.settle()
    assert workloads_current(cluster) == ("False", "NotRestartedByKeyturn")
    if has_workload:
        assert cluster.pods["api"].restarted_for == [2, 3]


async def test_a_workload_that_starts_meanwhile_is_restarted_afterwards() -> None:
    cluster = await rotated(has_workload=False)
    cluster.add_workload("late", None)
    cluster.now += timedelta(minutes=5)
    cluster.tell()
    await cluster.look()
    assert ("late", "Pending") in [(one.name, one.state) for one in status(cluster).workloads]

    cluster.refuses = False
    await cluster.settle()
    assert cluster.pods["late"].restarted_for == [3]
