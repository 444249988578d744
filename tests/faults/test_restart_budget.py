"""Limits of restarts in the whole cluster, on a real API server with Deployments of several namespaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.harness import eventually
from tests.faults.apiserver import Cluster
from tests.faults.namespace import CONSUMERS, workload_namespaces
from tests.support.kept_operator import KeptOperator


def test_one_workload_of_the_cluster_rolls_at_a_time(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    spaces = workload_namespaces(cluster, 3)
    options = [f"--namespace={space.namespace}" for space in spaces]
    env = {"POD_NAMESPACE": spaces[0].namespace}
    log = tmp_path / "operator.log"
    with KeptOperator(accounts("budget"), log, "--max-rolling=1", *options, env=env) as operator:
        operator.wait_for_log("leading")
        for space in spaces:
            space.create(rollout={"debounce": "0s", "maxConcurrent": 5})
        for space in spaces:
            space.wait_for(1)
        most = 0
        for space in spaces:
            space.trigger("now")

        def has_ended() -> bool:
            nonlocal most
            most = max(most, len(rolling(cluster, {space.namespace for space in spaces})))
            return all(space.is_at(2) for space in spaces)

        eventually(has_ended, "every rotation ends", 120)
        restarts = operator.told("workload restarted")

    assert most <= 1
    assert len(restarts) == len(spaces) * len(CONSUMERS)


def rolling(cluster: Cluster, namespaces: set[str]) -> list[str]:
    """Return the Deployments of these namespaces whose rollout is not complete, as one list shows them."""
    return [
        f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        for one in cluster.items("/apis/apps/v1/deployments")
        if one["metadata"]["namespace"] in namespaces and not is_complete(one)
    ]


def is_complete(deployment: dict[str, Any]) -> bool:
    status, replicas = deployment.get("status") or {}, deployment["spec"]["replicas"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {replicas}
