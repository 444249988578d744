"""Pods cannot be listed during a rollout: only what depends on them waits, and the status claims no success."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.keys import EmergencyKey
from keyturn.core.labels import RESTART, ROTATE
from keyturn.kube import errors, paths
from keyturn.kube.state_secret import state_of
from tests.simulation.simulated_cluster import MANAGED, SECOND, STATE, Cluster
from tests.simulation.test_other_pods import bare_pod

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from keyturn.core.state.state import StateFacts
    from keyturn.kube.client import Page, Params


class Blind(Cluster):
    """May refuse lists of pods with any error."""

    refusal: errors.ApiError | None = None

    async def pages(
        self, path: str, params: Params | None = None, *, limit: int = 1000, metadata_only: bool = False
    ) -> AsyncGenerator[Page, None]:
        if self.refusal and path == paths.pods("shop"):
            self.lists += 1
            raise self.refusal
        async for page in super().pages(path, params, limit=limit, metadata_only=metadata_only):
            yield page


FAILED = errors.Unavailable("list", paths.pods("shop"), 503, "ServiceUnavailable")
THROTTLED = errors.Throttled("list", paths.pods("shop"), 429, "TooManyRequests")
FORBIDDEN = errors.Forbidden("list", paths.pods("shop"), 403, "Forbidden")
ANSWER = "the API server answers 503 to the request to list pods"
UNKNOWN = f"whether pods with earlier values still run is unknown: {ANSWER}"


def facts(cluster: Cluster) -> StateFacts:
    return state_of(cluster.objects[STATE]).facts


def condition(cluster: Cluster, type_: str) -> tuple[str, str, str]:
    found = next(one for one in cluster.objects[MANAGED]["status"]["conditions"] if one["type"] == type_)
    return found["status"], found["reason"], found["message"]


def ask(cluster: Cluster, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = text
    cluster.touch_managed()


def declare(cluster: Cluster) -> None:
    created = cluster.now.replace(microsecond=0).isoformat()
    metadata = {"name": "leak", "namespace": "shop", "uid": "uid-of-leak", "creationTimestamp": created}
    body = {"metadata": metadata, "spec": {"reason": "stolen", "names": ["db"]}, "status": {}}
    cluster.context.cache.emergencies.put(EmergencyKey("shop", "leak"), body)
    cluster.now += 5 * SECOND


async def pass_time(cluster: Cluster, passes: int = 12) -> None:
    for _ in range(passes):
        cluster.tell()
        await cluster.look()
        cluster.finish_rollouts()
        cluster.now += timedelta(minutes=5)


async def waiting_for_pods(refusal: errors.ApiError = FAILED, **rotation: Any) -> Blind:
    """Return a cluster in whose rotation all new pods are ready, while nothing shows whether earlier ones ended."""
    cluster = Blind(
        {
            "data": [{"name": "password", "keepPrevious": True, "generate": {"password": {}}}],
            "rotation": {"overlap": "5m", **rotation},
            "rollout": {"debounce": "0s"},
        }
    )
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    ask(cluster, "now")
    while cluster.pods["api"].restarted_for != [2]:
        cluster.tell()
        await cluster.look()
    cluster.refusal = refusal
    cluster.finish_rollouts()
    return cluster


@pytest.mark.parametrize("refusal", [FAILED, THROTTLED], ids=["503", "429"])
async def test_an_emergency_rotates_the_values(refusal: errors.ApiError) -> None:
    cluster = await waiting_for_pods(refusal)
    await pass_time(cluster, 2)
    declare(cluster)
    await pass_time(cluster, 3)
    assert (facts(cluster).current_number, facts(cluster).current.reason) == (3, "Emergency")


async def test_a_workload_that_refuses_restarts_does_not_keep_an_emergency_from_rotating_the_values() -> None:
    cluster = Blind({"data": [{"name": "password", "generate": {"password": {}}}]})
    cluster.refusal = FORBIDDEN
    await pass_time(cluster, 2)
    cluster.add_workload("api", None)
    body = cluster.objects[cluster.path_of("api")]
    body["metadata"]["annotations"] = {RESTART: "never"}
    await pass_time(cluster, 2)
    cluster.now += timedelta(days=1)
    ask(cluster, "now")
    await pass_time(cluster, 3)
    cluster.restart()  # a process that has not published the revision reads the pods
    await pass_time(cluster, 1)
    assert condition(cluster, "Ready")[:2] == ("True", "Published")
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("Unknown", "PodsUnknown")
    assert "restore the operator's rights" in condition(cluster, "WorkloadsCurrent")[2]

    declare(cluster)
    await pass_time(cluster, 3)

    assert (facts(cluster).current_number, facts(cluster).current.reason) == (3, "Emergency")
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("False", "RestartRefused")


async def test_an_edited_value_is_put_back() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster, 1)
    before = cluster.data()
    cluster.edit_target("password", "aGFja2Vk")
    await pass_time(cluster, 3)
    assert cluster.data() == before


async def test_the_overlap_ends_at_its_limit() -> None:
    cluster = await waiting_for_pods(maxOverlap="10m")
    assert "password.previous" in cluster.data()
    await pass_time(cluster, 4)
    assert "password.previous" not in cluster.data()


async def test_an_overlap_that_has_begun_ends_in_time() -> None:
    """A workload that refuses restarts was not waited for; another process would read its pods."""
    password = {"name": "password", "keepPrevious": True, "generate": {"password": {}}}
    cluster = Blind({"data": [password], "rotation": {"overlap": "1h"}, "rollout": {"debounce": "0s"}})
    await pass_time(cluster, 1)
    cluster.add_workload("api", None)
    cluster.objects[cluster.path_of("api")]["metadata"]["annotations"] = {RESTART: "never"}
    await pass_time(cluster, 1)
    ask(cluster, "now")
    await pass_time(cluster, 3)
    assert facts(cluster).current.valid_until is not None

    cluster.refusal = FORBIDDEN
    cluster.restart()
    await pass_time(cluster, 1)
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("Unknown", "PodsUnknown")
    await pass_time(cluster, 13)

    assert "password.previous" not in cluster.data()


async def test_the_overlap_does_not_begin_before_pods_are_read() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster)
    assert "password.previous" in cluster.data()
    assert facts(cluster).current.valid_until is None
    assert [one["revision"] for one in cluster.objects[MANAGED]["status"]["history"]] == [1]


async def test_the_status_says_that_it_is_unknown_and_why() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster, 1)
    assert condition(cluster, "Ready")[:2] == ("True", "Published")
    assert condition(cluster, "WorkloadsCurrent") == ("Unknown", "PodsUnknown", UNKNOWN)
    assert condition(cluster, "Rotating")[0] == "True"


async def test_lists_that_fail_are_retried_with_pauses() -> None:
    cluster = await waiting_for_pods()
    before, dues = cluster.lists, []
    for _ in range(12):
        cluster.tell()
        due = await cluster.look()
        assert due
        dues.append(due - cluster.now)
        cluster.now = due
    assert dues == sorted(dues)
    assert dues[-1] == timedelta(minutes=5)
    assert cluster.lists <= before + 24


async def test_a_list_that_fails_for_a_suspended_object_is_retried() -> None:
    cluster = Blind(
        {"data": [{"name": "password", "generate": {"password": {}}}], "rotation": {"overlap": "0s"}}
    )
    await cluster.settle()
    cluster.now += timedelta(minutes=1)
    cluster.other_pods.append(bare_pod(cluster))
    cluster.now += timedelta(days=1)
    ask(cluster, "now")
    await cluster.settle()
    waits = condition(cluster, "WorkloadsCurrent")
    assert waits[:2] == ("False", "NotRestartedByKeyturn")

    cluster.change_managed()["suspend"] = True
    cluster.touch_managed()
    cluster.refusal = FAILED
    cluster.now += timedelta(minutes=10)
    cluster.tell()
    due = await cluster.look()
    assert due
    assert due - cluster.now < timedelta(seconds=10)
    assert condition(cluster, "WorkloadsCurrent") == ("Unknown", "PodsUnknown", UNKNOWN)

    cluster.refusal = None
    cluster.now = due
    await cluster.look()
    assert condition(cluster, "WorkloadsCurrent") == waits


async def test_it_ends_as_always_when_pods_can_be_listed_again() -> None:
    cluster = await waiting_for_pods()
    await pass_time(cluster)
    cluster.refusal = None
    await cluster.settle()
    assert condition(cluster, "WorkloadsCurrent")[:2] == ("True", "AllCurrent")
    assert "password.previous" not in cluster.data()
    assert cluster.pods["api"].restarted_for == [2]


async def test_no_workload_restarts_and_none_is_rolled_back_meanwhile() -> None:
    cluster = Blind({"data": [{"name": "password", "generate": {"password": {}}}]})
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.now += timedelta(days=1)
    cluster.refusal = FAILED
    cluster.doomed = {2}
    ask(cluster, "now")
    while facts(cluster).current_number != 2:
        cluster.tell()
        await cluster.look()
    cluster.restart()  # a process that has not published the revision reads the pods
    await pass_time(cluster)
    assert cluster.pods["api"].restarted_for == []
    assert facts(cluster).current_number == 2
    assert condition(cluster, "WorkloadsCurrent") == ("Unknown", "PodsUnknown", UNKNOWN)

    cluster.refusal = None
    while not cluster.pods["api"].restarted_for:
        cluster.tell()
        await cluster.look()
    cluster.refusal = FAILED
    await pass_time(cluster)
    assert facts(cluster).current_number == 2
    assert condition(cluster, "WorkloadsCurrent")[0] != "True"

    cluster.refusal = None
    await cluster.settle()
    assert facts(cluster).current_number == 1
