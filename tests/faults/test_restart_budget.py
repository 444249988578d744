"""Limits of restarts in the whole cluster, on a real API server with Deployments of several namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.faults.namespace import CONSUMERS, workload_namespaces
from tests.support.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.apiserver import Cluster


def test_one_workload_of_the_cluster_rolls_at_a_time(
    cluster: Cluster, accounts: Callable[[str], Path], tmp_path: Path
) -> None:
    spaces = workload_namespaces(cluster, 3)
    options = [f"--namespace={space.namespace}" for space in spaces]
    env = {"POD_NAMESPACE": spaces[0].namespace}
    log = tmp_path / "operator.log"
    with Operator(accounts("budget"), log, "--max-rolling=1", *options, env=env) as operator:
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
            rolling = [
                one
                for space in spaces
                for one in space.status().get("workloads") or ()
                if one["state"] == "Rolling"
            ]
            most = max(most, len(rolling))
            return all(space.is_at(2) for space in spaces)

        eventually(has_ended, "every rotation ends", 120)
        restarts = operator.lines("workload restarted")

    assert most <= 1
    assert len(restarts) == len(spaces) * len(CONSUMERS)
