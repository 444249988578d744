"""Values of an existing Secret stay, and workloads that have others restart."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from keyturn.core.labels import ROTATE
from keyturn.core.value import Value
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, TARGET, Cluster

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}}],
    "target": {"adopt": "IfUnowned"},
    "rotation": {"overlap": "0s"},
}


def found(cluster: Cluster, value: str) -> None:
    """Let another tool write the Secret, without a label of Keyturn."""
    cluster.put(
        TARGET,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "db", "namespace": "shop", "uid": f"uid-of-{value}"},
            "type": "Opaque",
            "data": {"password": Value.of_text(value).to_base64()},
        },
    )


async def adopted(value: str) -> Cluster:
    cluster = Cluster(SPEC)
    found(cluster, value)
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    return cluster


async def test_an_adopted_value_that_no_generator_makes_stays_when_the_state_is_lost() -> None:
    cluster = await adopted("hunter2")
    before = cluster.data()

    del cluster.objects[STATE]
    await cluster.settle()

    assert cluster.data() == before
    assert cluster.pods["api"].restarted_for == []
    assert [one.reason for one in state_of(cluster.objects[STATE]).facts.revisions] == ["Claimed"]


async def test_workloads_restart_with_a_value_that_is_adopted_in_place_of_another() -> None:
    cluster = await adopted("hunter2")
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "now"
    cluster.touch_managed()
    await cluster.settle()
    cluster.now += timedelta(days=1)

    found(cluster, "of-another-tool")
    await cluster.settle()

    assert cluster.data() == {"password": Value.of_text("of-another-tool").to_base64()}
    assert cluster.pods["api"].restarted_for == [2, 3]
    assert cluster.pods["api"].read == cluster.data()


async def test_workloads_do_not_restart_with_a_value_that_is_adopted_again() -> None:
    cluster = await adopted("hunter2")
    found(cluster, "hunter2")
    await cluster.settle()

    assert cluster.pods["api"].restarted_for == []
