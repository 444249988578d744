"""A ManagedSecret whose restarts wait for the limits of the cluster."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from keyturn.controllers.managedsecret import reconcile
from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.restart_budget import RestartLimits
from keyturn.core.errors import Wait
from keyturn.core.keys import ObjectKey, WorkloadKey
from keyturn.kube import errors
from tests.simulation.simulated_cluster import KEY, MANAGED, Cluster
from tests.simulation.test_refused_restarts import Denying
from tests.support.cases import case, cases

OTHER, THIRD = ObjectKey("other", "db"), ObjectKey("third", "db")
OTHERS_WORKLOAD = WorkloadKey("other", "Deployment", "api")
THIRD_WORKLOAD = WorkloadKey("third", "Deployment", "api")


def spec() -> dict[str, Any]:
    """Return a spec that a test may change."""
    return {"data": [{"name": "password", "generate": {"password": {}}}], "rollout": {"debounce": "0s"}}


async def test_a_restart_waits_for_others_and_the_value_does_not() -> None:
    cluster = Cluster(spec())
    cluster.memory = Memory(cluster.context, RestartLimits(rolling=1))
    cluster.add_workload("api", frozenset({"password"}))
    cluster.tell()
    await cluster.settle()
    before = cluster.data()
    budget = cluster.memory.budget
    budget.take(OTHER, OTHERS_WORKLOAD, cluster.now + timedelta(hours=1))

    cluster.change_managed()["rotation"] = {"trigger": "now"}
    await cluster.settle()

    (workload,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (workload["state"], workload["reason"]) == ("Pending", "RestartBudget")
    assert "--max-rolling 1" in workload["message"]
    assert cluster.data() != before
    assert not cluster.pods["api"].restarted_for

    budget.settle(OTHERS_WORKLOAD)
    await cluster.settle()

    (workload,) = cluster.objects[MANAGED]["status"]["workloads"]
    assert (workload["state"], workload["revision"]) == ("Current", 2)
    assert cluster.pods["api"].restarted_for == [2]
    assert budget.take(OTHER, OTHERS_WORKLOAD, cluster.now, waits=False)


async def waiting(cluster: Cluster) -> None:
    """Let the ManagedSecret wait for a rollout of another namespace, with a restart budget of one."""
    cluster.memory = Memory(cluster.context, RestartLimits(rolling=1))
    cluster.add_workload("api", frozenset({"password"}))
    cluster.tell()
    await cluster.settle()
    cluster.memory.budget.take(OTHER, OTHERS_WORKLOAD, cluster.now + timedelta(hours=1))
    cluster.change_managed()["rotation"] = {"trigger": "now"}
    await cluster.settle()
    assert cluster.memory.budget.restart_wait(KEY)


@cases(
    "failure",
    case("an answer", errors.Unavailable("get", "/apis", 503, "ServiceUnavailable")),
    case("a wait", Wait("MakingValues", "values are generated", timedelta(seconds=2))),
    case("a defect", RuntimeError("a defect")),
)
async def test_one_whose_pass_fails_lets_the_next_restart(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(spec())
    await waiting(cluster)
    budget = cluster.memory.budget
    assert not budget.take(THIRD, THIRD_WORKLOAD, cluster.now + timedelta(hours=1))
    budget.settle(OTHERS_WORKLOAD)
    assert not budget.take(THIRD, THIRD_WORKLOAD, cluster.now + timedelta(hours=1))  # not its turn

    async def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(reconcile, "observe", fail)
    with suppress(RuntimeError):
        await cluster.look()

    assert budget.take(THIRD, THIRD_WORKLOAD, cluster.now + timedelta(hours=1))


@pytest.mark.parametrize("refusal", [errors.Forbidden, errors.Invalid, errors.Conflict])
async def test_a_rejected_restart_leaves_its_place_to_another(refusal: type[errors.ApiError]) -> None:
    cluster = Denying(spec())
    await waiting(cluster)
    cluster.refusal = refusal
    budget = cluster.memory.budget
    budget.settle(OTHERS_WORKLOAD)

    cluster.tell()
    await cluster.look()

    assert cluster.tries
    assert budget.take(OTHER, OTHERS_WORKLOAD, cluster.now + timedelta(hours=1))


async def test_a_restart_without_an_answer_counts() -> None:
    cluster = Denying(spec())
    await waiting(cluster)
    cluster.refusal = errors.Unavailable
    budget = cluster.memory.budget
    budget.settle(OTHERS_WORKLOAD)

    cluster.tell()
    await cluster.look()

    assert cluster.tries
    assert not budget.take(OTHER, OTHERS_WORKLOAD, cluster.now + timedelta(hours=1))
