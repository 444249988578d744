"""Another controller restores a pod template a moment after each restart: that is reported, not fought."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from keyturn.controllers.managedsecret.reconcile import reconcile
from keyturn.core.labels import MARKER, ROLLBACK, ROTATE
from tests.simulation.simulated_cluster import KEY, MANAGED, Cluster

if TYPE_CHECKING:
    from keyturn.kube.wire import Body


class Reverted(Cluster):
    """Its workloads have their template back before the next pass, and no pod was replaced."""

    restarts = 0
    keeps_pods = True

    def _restarted(self, path: str, body: Body) -> Body:
        self.restarts += 1
        return super()._restarted(path, body)

    def _replace_pods(self, name: str, marker: str) -> None:
        if not self.keeps_pods:
            super()._replace_pods(name, marker)

    def revert(self) -> None:
        for name in self.pods:
            put_marker_back(self, name)


def put_marker_back(cluster: Cluster, name: str, marker: str = "") -> None:
    """Give a pod template the marker that another controller has of it."""
    body = cluster.objects[cluster.path_of(name)]
    annotations = body["spec"]["template"]["metadata"]["annotations"]
    if annotations.pop(MARKER, "") != marker:
        body["metadata"]["managedFields"] = []
        body["metadata"]["generation"] += 1
        body["status"]["observedGeneration"] = body["metadata"]["generation"]
        cluster._stamp(body)
    annotations |= {MARKER: marker} if marker else {}


async def test_a_workload_whose_template_is_restored_at_once_is_restarted_once() -> None:
    data = [{"name": "password", "generate": {"password": {}}}]
    rollout = {"debounce": "0s", "maxConcurrent": 2}
    cluster = Reverted({"data": data, "rotation": {"overlap": "0s"}, "rollout": rollout})
    await cluster.settle()
    for name in ("api", "web"):
        cluster.add_workload(name, None)
    await cluster.settle()
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "once"
    cluster.touch_managed()
    for _ in range(12):
        cluster.tell()
        cluster.now += timedelta(milliseconds=10)
        await reconcile(KEY, cluster.memory, cluster.context)
        cluster.revert()

    def assert_told() -> None:
        rows = cluster.objects[MANAGED]["status"]["workloads"]
        assert [(row["reason"], row["restarted"]) for row in rows] == [("MarkerRemoved", 2)] * 2
        assert cluster.restarts == 2

    assert_told()
    cluster.restart()
    await cluster.settle()
    assert_told()


async def test_a_marker_that_went_with_a_rollback_is_written_at_the_next_return() -> None:
    """The owner of the workload undoes its restart at the rollback, so that Keyturn restarts nothing."""
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Cluster({"data": data, "rotation": {"overlap": "0s"}, "rollout": {"debounce": "0s"}})
    await cluster.settle()
    cluster.now += timedelta(minutes=1)
    cluster.add_workload("api", None)
    await cluster.settle()
    await asked(cluster, ROTATE, "once")
    put_marker_back(cluster, "api")
    await asked(cluster, ROLLBACK, "1")
    cluster._replace_pods("api", "db=1")
    await cluster.settle()
    await asked(cluster, ROLLBACK, "2")
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (row["state"], row["revision"], row.get("reason")) == ("Current", 2, None)
    assert cluster.pods["api"].read == cluster.data()


@pytest.mark.parametrize("pause", [timedelta(milliseconds=100), timedelta(seconds=30)])
async def test_a_template_that_is_restored_with_a_revision_that_was_rolled_back_is_not_fought(
    pause: timedelta,
) -> None:
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Reverted({"data": data, "rotation": {"overlap": "0s"}, "rollout": {"debounce": "0s"}})
    cluster.keeps_pods = False
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    for text in ("once", "twice"):
        await asked(cluster, ROTATE, text)
    cluster.restarts, cluster.keeps_pods = 0, True
    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "2"
    cluster.touch_managed()
    for _ in range(40):
        cluster.tell()
        await reconcile(KEY, cluster.memory, cluster.context)
        cluster.now += pause
        put_marker_back(cluster, "api", "db=3")
    cluster.restart()
    await cluster.settle()
    (row,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (row["revision"], row["reason"], row["restarted"]) == (3, "MarkerRemoved", 2)
    assert cluster.restarts == 1


async def asked(cluster: Cluster, annotation: str, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][annotation] = text
    cluster.touch_managed()
    await cluster.settle()
    cluster.now += timedelta(hours=1)
