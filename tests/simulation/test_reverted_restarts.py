"""Another controller restores a pod template a moment after each restart: that is reported, not fought."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.controllers.managedsecret.reconcile import reconcile
from keyturn.core.labels import MARKER, ROTATE
from tests.simulation.simulated_cluster import KEY, MANAGED, Cluster

if TYPE_CHECKING:
    from keyturn.kube.client import Body


class Reverted(Cluster):
    """Its workloads have their template back before the next pass, and no pod was replaced."""

    restarts = 0

    def _restarted(self, path: str, body: Body) -> Body:
        self.restarts += 1
        return super()._restarted(path, body)

    def _replace_pods(self, name: str, marker: str) -> None:
        pass

    def revert(self) -> None:
        for name in self.pods:
            body = self.objects[self.path_of(name)]
            if body["spec"]["template"]["metadata"]["annotations"].pop(MARKER, None):
                body["metadata"]["managedFields"] = []
                body["metadata"]["generation"] += 1
                body["status"]["observedGeneration"] = body["metadata"]["generation"]
                self._stamp(body)


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
