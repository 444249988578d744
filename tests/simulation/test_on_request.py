"""Values that nothing applies outside of the Secret rotate on request only, also after crashes."""

from datetime import timedelta

import pytest

from keyturn.api import ManagedSecret
from keyturn.core.labels import ROTATE
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, STATE, Cluster

_QUARTER = timedelta(days=90)


async def applied_by_nothing() -> Cluster:
    data = [{"name": "password", "generate": {"password": {}}}]
    rotation = {"every": "90d", "jitter": "0%", "overlap": "0s", "appliedBy": "Nobody"}
    cluster = Cluster({"data": data, "rotation": rotation})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    return cluster


def facts_of(cluster: Cluster) -> tuple[int, str]:
    """Return the revision, and the reason of the condition Rotating."""
    status = ManagedSecret.model_validate(cluster.objects[MANAGED]).status
    reason = next(one.reason for one in status.conditions if one.type == "Rotating")
    return state_of(cluster.objects[STATE]).facts.current_number, reason


def ask(cluster: Cluster) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "applied"
    cluster.touch_managed()


async def test_years_without_a_request_restart_no_workload() -> None:
    cluster = await applied_by_nothing()

    for _ in range(12):
        cluster.now += _QUARTER
        await cluster.settle()

    assert facts_of(cluster) == (1, "Due")
    assert cluster.pods["api"].restarted_for == []


async def test_a_request_rotates_once_and_the_interval_starts_again() -> None:
    cluster = await applied_by_nothing()
    cluster.now += _QUARTER
    await cluster.settle()

    ask(cluster)
    await cluster.settle()
    assert facts_of(cluster) == (2, "Idle")

    cluster.now += _QUARTER
    await cluster.settle()
    assert facts_of(cluster) == (2, "Due")
    assert cluster.pods["api"].restarted_for == [2]


async def test_a_change_of_the_spec_that_the_value_does_not_satisfy_replaces_it() -> None:
    cluster = await applied_by_nothing()

    cluster.change_managed()["data"] = [{"name": "password", "generate": {"password": {"length": 64}}}]
    await cluster.settle()

    assert facts_of(cluster) == (2, "Idle")
    assert cluster.pods["api"].restarted_for == [2]


@pytest.mark.parametrize("write", [1, 1.5, 2, 2.5, 3])
async def test_a_crash_during_the_rotation_causes_no_second_one(write: float) -> None:
    cluster = await applied_by_nothing()
    cluster.now += _QUARTER
    await cluster.settle()

    ask(cluster)
    cluster.dies_at = cluster.writes + write
    await cluster.settle()

    assert facts_of(cluster) == (2, "Idle")
    assert cluster.pods["api"].restarted_for == [2]


async def test_a_secret_that_stays_immutable_gets_no_revision_that_cannot_be_written() -> None:
    """Kubernetes never makes it mutable again, although the spec asks for it no more."""
    data = [{"name": "password", "generate": {"password": {}}}]
    cluster = Cluster({"data": data, "target": {"immutable": True}})
    await cluster.settle()
    cluster.change_managed()["target"] = {"immutable": False}
    await cluster.settle()

    ask(cluster)
    await cluster.settle()
    cluster.now += _QUARTER
    await cluster.settle()

    stalled = next(
        one
        for one in ManagedSecret.model_validate(cluster.objects[MANAGED]).status.conditions
        if one.type == "Stalled"
    )
    assert (stalled.reason, facts_of(cluster)[0]) == ("Immutable", 1)
    assert "create another ManagedSecret" in stalled.message
