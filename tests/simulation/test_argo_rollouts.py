"""Argo Rollouts, with a pod template and with that of a Deployment, whenever the operator dies."""

import copy
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.labels import MARKER
from keyturn.kube import paths
from keyturn.kube.client import Page, Params
from keyturn.kube.state_secret import state_of
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}}],
    "rollout": {"progressDeadline": "30s", "debounce": "0s"},
}
DEATHS = [None, *(number / 2 for number in range(2, 16))]


class RolloutCluster(Cluster):
    """A cluster whose workloads are Rollouts."""

    kind = "Rollout"

    def add_workload(self, name: str, keys: frozenset[str] | None) -> None:
        super().add_workload(name, keys)
        self.observe(name, available=1)

    def is_observed(self, name: str) -> bool:
        body = self.objects[self.path_of(name)]
        return bool(body["status"]["observedGeneration"] == str(body["metadata"]["generation"]))

    def observe(self, name: str, available: int) -> None:
        body = self.objects[self.path_of(name)]
        body["status"] |= {
            "observedGeneration": str(body["metadata"]["generation"]),
            "phase": "Healthy" if available else "Progressing",
            "availableReplicas": available,
        }


class ReferenceCluster(RolloutCluster):
    """A cluster whose Rollouts use the pod templates of Deployments without replicas."""

    def template_path(self, name: str) -> str:
        return paths.workload("Deployment", "shop", name)

    def add_workload(self, name: str, keys: frozenset[str] | None) -> None:
        super().add_workload(name, keys)
        rollout = self.objects[self.path_of(name)]
        deployment = copy.deepcopy(rollout)
        deployment["metadata"]["uid"] = f"uid-of-deployment-{name}"
        deployment["spec"]["replicas"] = 0
        deployment["status"] = {"observedGeneration": 1}
        self.objects[self.template_path(name)] = self._stamp(deployment)
        del rollout["spec"]["template"]
        rollout["spec"]["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        self.observe(name, available=1)

    def tell(self) -> None:
        super().tell()
        for name in self.pods:
            self.tell_workload("Deployment", name)

    def is_observed(self, name: str) -> bool:
        generation = self.objects[self.template_path(name)]["metadata"]["generation"]
        status = self.objects[self.path_of(name)]["status"]
        return bool(status["workloadObservedGeneration"] == str(generation))

    def observe(self, name: str, available: int) -> None:
        super().observe(name, available)
        if template := self.objects.get(self.template_path(name)):
            template["status"]["observedGeneration"] = template["metadata"]["generation"]
            status = self.objects[self.path_of(name)]["status"]
            status["workloadObservedGeneration"] = str(template["metadata"]["generation"])
            self._stamp(template)


class OldReleaseCluster(ReferenceCluster):
    """A cluster whose controller does not report which generation of the Deployment it has observed."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.generations: dict[str, int] = {}
        super().__init__(spec)

    def is_observed(self, name: str) -> bool:
        generation = self.objects[self.template_path(name)]["metadata"]["generation"]
        return bool(self.generations.get(name) == generation)

    def observe(self, name: str, available: int) -> None:
        super().observe(name, available)
        if template := self.objects.get(self.template_path(name)):
            self.generations[name] = template["metadata"]["generation"]
            status = self.objects[self.path_of(name)]["status"]
            del status["workloadObservedGeneration"]
            changed = self.now.replace(microsecond=0).isoformat()
            status["conditions"] = [{"type": "Progressing", "status": "True", "lastUpdateTime": changed}]


class BlueGreenCluster(RolloutCluster):
    """A cluster whose controller ends earlier pods some time after the new ones are available."""

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__(spec)
        self.grace = timedelta(seconds=20)

    async def pages(
        self, path: str, params: Params | None = None, **others: Any
    ) -> AsyncGenerator[Page, None]:
        async for page in super().pages(path, params, **others):
            yield replace(page, items=[_running(one) for one in page.items])


class AbortingCluster(RolloutCluster):
    """A cluster whose controller aborts rollouts, and shows the last abort for a moment after the next change."""

    def crashes(self, number: int | None) -> bool:  # noqa: ARG002
        return False

    def is_observed(self, name: str) -> bool:
        status = self.objects[self.path_of(name)]["status"]
        return super().is_observed(name) and (status["phase"] != "Degraded" or "abort" in status)

    def observe(self, name: str, available: int) -> None:
        super().observe(name, available)
        status = self.objects[self.path_of(name)]["status"]
        if not available:
            status |= {
                "phase": "Degraded",
                "abort": True,
                "conditions": [_progress("False", "RolloutAborted")],
            }
        elif status.pop("abort", None):
            status["phase"] = "Degraded"
        else:
            status["conditions"] = [_progress("True", "NewReplicaSetAvailable")]


def _progress(status: str, reason: str) -> Body:
    return {"type": "Progressing", "status": status, "reason": reason}


def _running(pod: Body) -> Body:
    """Return a pod that is not terminating; one that was to end is ready."""
    metadata, kept = pod["metadata"], {}
    if "deletionTimestamp" in metadata and "status" in pod:
        kept = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    stays = {name: one for name, one in metadata.items() if not name.startswith("deletion")}
    return pod | {"metadata": stays} | kept


async def prepared(made: type[RolloutCluster]) -> RolloutCluster:
    """Return a cluster at rest with two Rollouts, and a rotation requested."""
    cluster = made(copy.deepcopy(SPEC))
    await cluster.settle()
    cluster.add_workload("api", None)
    cluster.add_workload("web", None)
    await cluster.settle()
    cluster.change_managed()["rotation"] = {"trigger": "now"}
    return cluster


def history(cluster: Cluster) -> list[int]:
    return [one["revision"] for one in cluster.objects[MANAGED]["status"]["history"]]


def workloads(cluster: Cluster) -> dict[tuple[str, str], tuple[str, int | None]]:
    """Return state and revision of each workload, by the status."""
    rows = cluster.objects[MANAGED]["status"]["workloads"]
    return {(row["kind"], row["name"]): (row["state"], row.get("revision")) for row in rows}


each_cluster = pytest.mark.parametrize("made", [RolloutCluster, ReferenceCluster, OldReleaseCluster])


@each_cluster
@pytest.mark.parametrize("death", DEATHS)
async def test_each_rollout_restarts_once_whenever_the_operator_dies(
    made: type[RolloutCluster], death: float | None
) -> None:
    cluster = await prepared(made)
    cluster.dies_at = death and cluster.writes + death
    await cluster.settle()

    assert [pods.restarted_for for pods in cluster.pods.values()] == [[2], [2]]
    assert [pods.read for pods in cluster.pods.values()] == [cluster.data()] * 2
    found = workloads(cluster)
    assert {state for state, _ in found.values()} == {"Current"}
    assert found["Rollout", "api"] == found["Rollout", "web"] == ("Current", 2)


@each_cluster
@pytest.mark.parametrize("death", DEATHS)
async def test_a_rollout_that_fails_is_rolled_back_whenever_the_operator_dies(
    made: type[RolloutCluster], death: float | None
) -> None:
    cluster = await prepared(made)
    before = cluster.data()
    cluster.doomed = {2}
    cluster.dies_at = death and cluster.writes + death
    await cluster.settle()

    state = state_of(cluster.objects[STATE]).facts
    assert (state.current_number, state.rollback_pause is not None) == (1, True)
    assert cluster.data() == before
    assert cluster.pods["api"].restarted_for == [2], "its healthy pods stay"
    assert cluster.pods["web"].restarted_for == []


@pytest.mark.parametrize("death", DEATHS)
async def test_a_rollout_that_is_aborted_is_rolled_back_and_that_does_not_fail(death: float | None) -> None:
    cluster = await prepared(AbortingCluster)
    before = cluster.data()
    cluster.doomed = {2}
    cluster.dies_at = death and cluster.writes + death
    returned = []
    for _ in range(60):
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        if cluster.data() == before and state_of(cluster.objects[STATE]).facts.rollback_pause:
            returned.append({state for state, _ in workloads(cluster).values()})

    held = state_of(cluster.objects[STATE]).facts.rollback_pause
    assert held
    assert held.cause == "Rollout/api: its rollout was aborted; pod api-db-2: container app: NotReady"
    assert returned[-1] == {"Current"}
    assert not any("Failed" in states for states in returned[1:])
    assert cluster.pods["api"].restarted_for == [2], "its healthy pods stay"


@pytest.mark.parametrize("death", DEATHS)
async def test_a_rotation_waits_for_the_pods_that_a_strategy_keeps(death: float | None) -> None:
    cluster = await prepared(BlueGreenCluster)
    cluster.dies_at = death and cluster.writes + death
    waited_for = set()
    for _ in range(200):
        if history(cluster) != [1]:
            break
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        found = workloads(cluster)
        kept = {name for name, pods in cluster.pods.items() if pods.leaving}
        waited_for |= kept
        assert not any(found["Rollout", name] == ("Current", 2) for name in kept)

    assert history(cluster) == [2, 1]
    assert waited_for == {"api", "web"}
    assert not kept
    assert [pods.restarted_for for pods in cluster.pods.values()] == [[2], [2]]


@pytest.mark.parametrize("made", [ReferenceCluster, OldReleaseCluster])
async def test_a_rotation_waits_until_the_template_of_the_deployment_is_observed(
    made: type[ReferenceCluster],
) -> None:
    cluster = await prepared(made)
    for _ in range(20):
        cluster.tell()
        await cluster.look()

    assert cluster.pods["api"].restarted_for == [2]
    assert workloads(cluster)["Rollout", "api"][0] == "Rolling"
    assert history(cluster) == [1]


@pytest.mark.parametrize("made", [RolloutCluster, ReferenceCluster, OldReleaseCluster])
async def test_an_owner_that_reverts_the_restart_is_not_fought(made: type[RolloutCluster]) -> None:
    cluster = await prepared(made)
    for _ in range(40):
        cluster.tell()
        await cluster.look()
        revert(cluster, "api")
        cluster.finish_rollouts()
        cluster.restart()

    assert [pods.restarted_for for pods in cluster.pods.values()] == [[2], [2]]
    assert [pods.read for pods in cluster.pods.values()] == [cluster.data()] * 2
    assert {state for state, _ in workloads(cluster).values()} == {"Current"}


def revert(cluster: RolloutCluster, name: str) -> None:
    """Let the owner of the pod template write it as it was."""
    body = cluster.objects[cluster.template_path(name)]
    if body["spec"]["template"]["metadata"]["annotations"].pop(MARKER, None):
        body["metadata"]["generation"] += 1
        body["metadata"]["managedFields"] = []
        cluster._stamp(body)


async def test_a_listed_rollout_without_its_kind_is_named_and_nothing_waits_for_ever() -> None:
    spec = copy.deepcopy(SPEC) | {"rollout": {"targets": [{"kind": "Rollout", "name": "api"}]}}
    cluster = Cluster(spec)
    await cluster.settle()
    before = cluster.data()
    cluster.change_managed()["rotation"] = {"trigger": "now"}
    await cluster.settle()

    found = {one["type"]: one for one in cluster.objects[MANAGED]["status"]["conditions"]}
    current = found["WorkloadsCurrent"]
    assert (current["status"], current["reason"]) == ("False", "TargetNotFound")
    assert "Rollout/api" in current["message"]
    assert cluster.data() != before
    assert history(cluster) == [2, 1]
