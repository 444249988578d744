"""Pods end slowly and the operator may die at any write: nothing is said or revoked before the last one has ended."""

import asyncio
import copy
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import pytest

from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, SECOND, STATE, Cluster

GRACE = timedelta(seconds=60)
_SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}, "keepPrevious": True}],
    "rotation": {"overlap": "1h"},
    "rollout": {"progressDeadline": "30s", "debounce": "0s"},
}


async def rotating(cluster: Cluster) -> None:
    """Bring a cluster to rest with one workload, and ask for a rotation."""
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.change_managed()["rotation"]["trigger"] = "now"
    cluster.tell()


async def looks(cluster: Cluster, seconds: int) -> None:
    """Look now and then for so long, with all that the watches tell."""
    over = cluster.now + seconds * SECOND
    while cluster.now < over:
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        cluster.now = min(over, cluster.now + seconds * SECOND / 3)


def overlap_begun(cluster: Cluster) -> bool:
    return state_of(cluster.objects[STATE]).facts.current.valid_until is not None


def ended(cluster: Cluster) -> list[int]:
    return [one["revision"] for one in cluster.objects[MANAGED]["status"].get("history", ())]


@pytest.mark.parametrize("death", [None, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5])
async def test_the_overlap_begins_when_the_last_pod_has_ended_whenever_the_operator_dies(
    death: float | None,
) -> None:
    cluster = Cluster(copy.deepcopy(_SPEC))
    cluster.grace = GRACE
    await rotating(cluster)
    cluster.dies_at = death and cluster.writes + death
    restarted = cluster.now
    while not cluster.pods["api"].restarted_for:
        restarted = cluster.now
        await looks(cluster, 1)

    await looks(cluster, 36)
    cluster.restart()
    await looks(cluster, 9)
    assert cluster.now < restarted + GRACE
    assert not overlap_begun(cluster)
    assert ended(cluster) == [1]
    assert cluster.pods["api"].restarted_for == [2], "nor is it taken back at its deadline"

    await looks(cluster, 80)
    assert overlap_begun(cluster)
    assert ended(cluster) == [2, 1]


async def test_no_pod_is_listed_at_rest() -> None:
    cluster = Cluster(copy.deepcopy(_SPEC))
    await rotating(cluster)
    await cluster.settle()
    listed = cluster.lists
    cluster.restart()
    for _ in range(5):
        cluster.touch_managed()
        await cluster.settle()
    assert cluster.lists == listed


@pytest.mark.parametrize("death", [None, *(half / 2 for half in range(2, 24))])
async def test_a_first_rotation_that_fails_leaves_the_healthy_pods_whenever_the_operator_dies(
    death: float | None,
) -> None:
    cluster = Cluster(copy.deepcopy(_SPEC))
    await rotating(cluster)
    cluster.doomed.add(2)
    made = cluster.pods["api"].made
    cluster.dies_at = death and cluster.writes + death
    await cluster.settle()
    await cluster.settle()

    pods = cluster.pods["api"]
    assert (pods.made, pods.marker, pods.restarted_for) == (made, "", [2])
    assert state_of(cluster.objects[STATE]).facts.current_number == 1
    assert ended(cluster) == [1, 2, 1]


def test_without_the_right_to_list_pods_nothing_is_said_and_all_is_put_right_later() -> None:
    class Forbidding(Cluster):
        forbids = False

        async def pages(self, *args: Any, **options: Any) -> AsyncGenerator[Page, None]:
            if self.forbids:
                raise errors.Forbidden("list", paths.pods("shop"), 403, "Forbidden")
            async for page in super().pages(*args, **options):
                yield page

    async def story() -> None:
        cluster = Forbidding(copy.deepcopy(_SPEC))
        await rotating(cluster)
        while not cluster.pods["api"].restarted_for:
            await looks(cluster, 1)
        cluster.forbids = True
        await looks(cluster, 30)

        told = {one["type"]: one for one in cluster.objects[MANAGED]["status"]["conditions"]}
        assert (told["WorkloadsCurrent"]["status"], told["WorkloadsCurrent"]["reason"]) == (
            "Unknown",
            "PodsUnknown",
        )
        assert told["Ready"]["status"] == "True"
        assert not overlap_begun(cluster)
        cluster.forbids = False
        await looks(cluster, 61)
        assert overlap_begun(cluster)

    asyncio.run(story())
