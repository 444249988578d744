"""A ManagedSecret whose restarts wait for the limits of the cluster."""

from __future__ import annotations

from datetime import timedelta

from keyturn.controllers.managedsecret.memory import Memory
from keyturn.controllers.managedsecret.restart_budget import RestartLimits
from keyturn.core.keys import ObjectKey, WorkloadKey
from tests.simulation.simulated_cluster import MANAGED, Cluster

OTHER = ObjectKey("other", "db")
OTHERS_WORKLOAD = WorkloadKey("other", "Deployment", "api")
SPEC = {"data": [{"name": "password", "generate": {"password": {}}}], "rollout": {"debounce": "0s"}}


async def test_a_restart_waits_for_others_and_the_value_does_not() -> None:
    cluster = Cluster(SPEC)
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
