"""Pods that Keyturn does not restart hold earlier values: nothing is asserted before they end, in any crash."""

from __future__ import annotations

import asyncio
import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import ROLLBACK
from keyturn.kube import errors, paths
from keyturn.kube.client import Page
from keyturn.kube.pod_lists import ListPaused
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, SECOND, STATE, TARGET, Cluster
from tests.simulation.test_terminating_pods import looks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from keyturn.core.observation.workload import PodsSeen

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}, "keepPrevious": True}],
    "rotation": {"overlap": "1h"},
    "rollout": {"debounce": "0s"},
}


def bare_pod(cluster: Cluster, name: str = "bare") -> dict[str, Any]:
    created = cluster.now.replace(microsecond=0).isoformat()
    container = {"name": "main", "envFrom": [{"secretRef": {"name": "db"}}]}
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-of-{name}",
            "resourceVersion": "1",
            "creationTimestamp": created,
        },
        "spec": {"nodeName": "node", "containers": [container]},
        "status": {},
    }


async def rotating(cluster: Cluster) -> None:
    """Request a rotation while a bare pod holds the first revision."""
    await cluster.settle()
    cluster.now += 2 * SECOND
    cluster.other_pods.append(bare_pod(cluster))
    cluster.change_managed()["rotation"]["trigger"] = "now"
    cluster.tell()


def status(cluster: Cluster) -> dict[str, Any]:
    return dict(cluster.objects[MANAGED]["status"])


def verdict(cluster: Cluster, type_: str) -> tuple[str, str]:
    conditions = {one["type"]: one for one in status(cluster)["conditions"]}
    return conditions[type_]["status"], conditions[type_]["reason"]


def ended(cluster: Cluster) -> list[int]:
    return [one["revision"] for one in status(cluster).get("history", ())]


def overlap_begun(cluster: Cluster) -> bool:
    return state_of(cluster.objects[STATE]).facts.current.valid_until is not None


@pytest.mark.parametrize("death", [None, *(half / 2 for half in range(2, 14))])
async def test_a_rotation_waits_for_a_bare_pod_whenever_the_operator_dies(death: float | None) -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    cluster.dies_at = death and cluster.writes + death
    await looks(cluster, 60)

    assert status(cluster)["revision"] == 2
    assert ended(cluster) == [1]
    assert not overlap_begun(cluster)
    assert verdict(cluster, "WorkloadsCurrent") == ("False", "NotRestartedByKeyturn")
    (workload,) = status(cluster)["workloads"]
    assert (workload["kind"], workload["name"]) == ("Pod", "bare")
    assert (workload["state"], workload["revision"], workload["via"]) == ("Pending", 1, ["envFrom"])

    cluster.other_pods.clear()
    cluster.restart()
    await looks(cluster, 60)

    assert ended(cluster) == [2, 1]
    assert overlap_begun(cluster)
    assert verdict(cluster, "WorkloadsCurrent") == ("True", "NoConsumers")
    assert "workloads" not in status(cluster)


async def test_a_pod_that_began_after_the_publication_is_not_waited_for() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    await looks(cluster, 9)
    cluster.other_pods[:] = [bare_pod(cluster, "new")]
    await looks(cluster, 60)

    assert ended(cluster) == [2, 1]


async def test_no_pods_of_the_namespace_are_listed_at_rest() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    cluster.other_pods.clear()
    await cluster.settle()
    assert cluster.namespace_lists == 1
    cluster.restart()
    for _ in range(5):
        cluster.touch_managed()
        await cluster.settle()

    assert cluster.namespace_lists == 1


async def test_a_pass_ends_while_lists_pause_and_its_request_is_served_later() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    cluster.other_pods.clear()
    read, requested = cluster.context.pods.of_namespace, []

    async def pausing(namespace: str, since: float, wake: Callable[[], None]) -> PodsSeen:
        requested.append(since)
        if len(requested) <= 3:
            raise ListPaused(7.0)
        return await read(namespace, since, wake)

    cluster.context.pods.of_namespace = pausing  # type: ignore[assignment,method-assign]  # a fake
    due = None
    while not requested:
        due = await cluster.look()
    assert due == cluster.now + 7 * SECOND
    assert ended(cluster) == [1]

    await looks(cluster, 20)
    assert len(requested) == 4
    assert len(set(requested)) == 1, "a list that starts in between serves it"
    assert ended(cluster) == [2, 1]


async def test_a_pod_that_stays_is_read_less_and_less_often() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    await looks(cluster, 120)
    listed = cluster.namespace_lists

    assert 3 <= listed <= 20


async def test_without_the_right_to_list_pods_it_is_unknown_whether_one_is_behind() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    pages = cluster.pages

    async def refuse(*args: Any, **options: Any) -> AsyncIterator[Page]:
        if "labelSelector" not in args[1]:
            raise errors.Forbidden("list", paths.pods("shop"), 403, "Forbidden")
        async for page in pages(*args, **options):
            yield page

    cluster.pages = refuse  # type: ignore[assignment, method-assign]
    await rotating(cluster)
    await looks(cluster, 30)
    assert verdict(cluster, "WorkloadsCurrent") == ("Unknown", "PodsUnknown")
    assert ended(cluster) == [1]
    assert not overlap_begun(cluster)

    cluster.pages = pages  # type: ignore[method-assign]
    cluster.other_pods.clear()
    await looks(cluster, 120)
    assert ended(cluster) == [2, 1]


async def test_the_limit_ends_the_overlap_although_a_pod_holds_the_value() -> None:
    spec = copy.deepcopy(SPEC)
    spec["rotation"] = {"overlap": "10s", "maxOverlap": "30s"}
    cluster = Cluster(spec)
    await rotating(cluster)
    await looks(cluster, 20)
    assert "password.previous" in cluster.data()

    await looks(cluster, 20)
    assert "password.previous" not in cluster.data()
    assert ended(cluster) == [1]


# Evictions


LEAK = EmergencyKey("shop", "leak")


def declare(cluster: Cluster) -> dict[str, Any]:
    """Declare an emergency that evicts pods; return it."""
    created = cluster.now.replace(microsecond=0).isoformat()
    metadata = {"name": "leak", "namespace": "shop", "uid": "uid-leak", "generation": 1}
    spec = {"reason": "a laptop was stolen", "selector": {}, "evict": True}
    body = {"metadata": metadata | {"creationTimestamp": created, "resourceVersion": "1"}, "spec": spec}
    cluster.context.cache.put_emergency(LEAK, body)
    return body


async def looks_often(cluster: Cluster, times: int) -> None:
    """Look each second, as the work queue does after a pass that yields."""
    for _ in range(times):
        cluster.tell()
        await cluster.look()


async def exposed(cluster: Cluster, *names: str) -> dict[str, Any]:
    """Declare an emergency while pods hold the exposed value; return it."""
    await cluster.settle()
    cluster.now += 2 * SECOND
    cluster.other_pods += [bare_pod(cluster, name) for name in names]
    cluster.now += 2 * SECOND
    return declare(cluster)


async def test_an_emergency_evicts_every_pod_with_the_exposed_value() -> None:
    cluster = Cluster({"data": [{"name": "password", "generate": {"password": {}}}]})
    await exposed(cluster, *(f"report-{number}" for number in range(30)))
    await looks_often(cluster, 60)

    assert cluster.other_pods == []
    assert ended(cluster) == [2, 1]


async def test_a_budget_delays_an_eviction_and_nothing_is_claimed_before() -> None:
    cluster = Cluster({"data": [{"name": "password", "generate": {"password": {}}}]})
    cluster.budget = 0
    await exposed(cluster, "bare")
    await looks_often(cluster, 30)
    assert ended(cluster) == [1]
    assert verdict(cluster, "WorkloadsCurrent") == ("False", "NotRestartedByKeyturn")

    cluster.budget = None
    await looks_often(cluster, 60)
    assert cluster.other_pods == []
    assert ended(cluster) == [2, 1]


@pytest.mark.parametrize("death", [None, *(half / 2 for half in range(2, 18))])
async def test_each_pod_is_evicted_once_whenever_the_operator_dies(death: float | None) -> None:
    cluster = Cluster({"data": [{"name": "password", "generate": {"password": {}}}]})
    names = ["report-1", "report-2", "report-3"]
    emergency = await exposed(cluster, *names)
    cluster.dies_at = death and cluster.writes + death
    evicted: list[str] = []
    create = cluster.create

    async def noted(path: str, body: dict[str, Any]) -> dict[str, Any]:
        there = {pod["metadata"]["name"] for pod in cluster.other_pods}
        try:
            return await create(path, body)
        finally:
            evicted.extend(there - {pod["metadata"]["name"] for pod in cluster.other_pods})

    cluster.create = noted  # type: ignore[method-assign]
    for _ in range(40):
        cluster.tell()
        cluster.context.cache.put_emergency(LEAK, emergency)  # also for a process that has just started
        await cluster.look()

    assert sorted(evicted) == names
    assert ended(cluster) == [2, 1]


# Pods that come and go


async def test_pods_that_come_and_go_are_judged_by_their_own_start() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    await looks(cluster, 9)
    assert status(cluster)["revision"] == 2
    for number in range(40):  # a pod of a CronJob every few seconds, while the old one stays
        cluster.other_pods[1:] = [bare_pod(cluster, f"new-{number}")]
        await looks(cluster, 3)
        assert ended(cluster) == [1]
    assert [row["name"] for row in status(cluster)["workloads"]] == ["bare"]

    del cluster.other_pods[0]
    await looks(cluster, 60)
    assert ended(cluster) == [2, 1]


async def test_an_old_pod_under_a_known_name_is_another_pod() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    await looks(cluster, 9)
    cluster.other_pods[:] = [bare_pod(cluster, "bare")]  # it ended, and a new one has its name
    await looks(cluster, 60)

    assert ended(cluster) == [2, 1]


async def test_a_pod_that_no_node_has_yet_reads_the_new_value() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await rotating(cluster)
    del cluster.other_pods[0]["spec"]["nodeName"]
    await looks(cluster, 60)

    assert ended(cluster) == [2, 1]


async def test_a_list_that_fails_in_the_middle_asserts_nothing() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    pages, failures = cluster.pages, 0

    async def break_off(*args: Any, **options: Any) -> AsyncIterator[Page]:
        nonlocal failures
        async for page in pages(*args, **options):
            if "labelSelector" not in args[1]:
                failures += 1
                yield Page([], "1", first=True)
                raise errors.Unavailable("list", paths.pods("shop"), 503, "ServiceUnavailable")
            yield page

    cluster.pages = break_off  # type: ignore[assignment, method-assign]
    await rotating(cluster)
    await looks(cluster, 30)
    assert failures > 0
    assert ended(cluster) == [1]
    assert not overlap_begun(cluster)

    cluster.pages = pages  # type: ignore[method-assign]
    cluster.other_pods.clear()
    await looks(cluster, 120)
    assert ended(cluster) == [2, 1]


def test_a_deleted_secret_is_restored_without_a_claim_about_pods_from_before_a_rollback() -> None:
    async def story() -> tuple[str, str]:
        cluster = Cluster(copy.deepcopy(SPEC))
        await cluster.settle()
        cluster.change_managed()["rotation"]["trigger"] = "now"
        await cluster.settle()
        cluster.now += timedelta(hours=2)
        cluster.other_pods.append(bare_pod(cluster))
        cluster.now += timedelta(hours=1)
        cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "1"
        cluster.touch_managed()
        await cluster.settle()
        del cluster.objects[TARGET]
        await cluster.settle()
        return verdict(cluster, "WorkloadsCurrent")

    assert asyncio.run(story()) == ("False", "NotRestartedByKeyturn")
