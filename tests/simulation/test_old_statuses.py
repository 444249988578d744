"""An old status, without fields for programs, is replaced once; no workload is restarted, no event is posted again.

`old_statuses.json` has what that version wrote in the same four situations.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.labels import ROTATE
from tests.simulation.simulated_cluster import MANAGED, Cluster
from tests.simulation.test_api_errors import Posted
from tests.simulation.test_refused_restarts import HOLD, SPEC, rotated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("old_statuses.json").read_text())


async def refused() -> Cluster:
    cluster, _ = await rotated(SPEC)
    return cluster


async def failed() -> Cluster:
    cluster, _ = await rotated(HOLD)
    await cluster.pass_time(10)
    return cluster


async def at_rest() -> Cluster:
    cluster = Cluster(SPEC)
    await cluster.settle()
    for name in ("api", "web"):
        cluster.add_workload(name, None)
    await cluster.settle()
    return cluster


async def crashing() -> Cluster:
    cluster = Cluster(HOLD)
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    cluster.doomed = {2}
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "now"
    cluster.touch_managed()
    await cluster.settle()
    return cluster


SITUATIONS: dict[str, Callable[[], Awaitable[Cluster]]] = {
    "refused": refused,
    "failed": failed,
    "at rest": at_rest,
    "crashing": crashing,
}


def upgraded(cluster: Cluster, status: dict[str, Any]) -> Posted:
    """Put an old status into the place of the new one and start another process."""
    cluster.objects[MANAGED]["status"] = copy.deepcopy(status)
    cluster.touch_managed()
    cluster.restart()
    cluster.context.since = cluster.now
    posted = Posted()
    cluster.context.events = posted  # type: ignore[assignment]  # a fake
    return posted


def rows(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"], one["state"]) for one in status["workloads"]]


@pytest.mark.parametrize("name", SITUATIONS)
async def test_an_old_status_is_written_once_and_restarts_no_workload(name: str) -> None:
    cluster = await SITUATIONS[name]()
    new = cluster.objects[MANAGED]["status"]
    restarts = {pod: list(one.restarted_for) for pod, one in cluster.pods.items()}
    posted = upgraded(cluster, RECORDED[name])

    writes = cluster.writes
    for _ in range(3):
        cluster.tell()
        await cluster.look()

    status = cluster.objects[MANAGED]["status"]
    assert cluster.writes - writes <= 1
    assert posted.reasons == []
    assert {pod: one.restarted_for for pod, one in cluster.pods.items()} == restarts
    assert rows(status) == rows(RECORDED[name]) == rows(new)
    assert [one.get("reason") for one in status["workloads"]] == [
        one.get("reason") for one in new["workloads"]
    ]
    assert status["policy"] == new["policy"]


@pytest.mark.parametrize("name", SITUATIONS)
async def test_a_new_status_is_not_written_again(name: str) -> None:
    cluster = await SITUATIONS[name]()
    posted = upgraded(cluster, cluster.objects[MANAGED]["status"])

    writes = cluster.writes
    for _ in range(3):
        cluster.tell()
        await cluster.look()

    assert cluster.writes == writes
    assert posted.reasons == []


async def test_a_status_with_a_time_that_no_calendar_has_is_replaced_and_restarts_no_workload() -> None:
    cluster = await at_rest()
    status = copy.deepcopy(cluster.objects[MANAGED]["status"])
    restarts = {pod: list(one.restarted_for) for pod, one in cluster.pods.items()}
    upgraded(cluster, status | {"lastRotationTime": "0000-01-01T00:00:00Z"})

    cluster.tell()
    await cluster.look()

    after = cluster.objects[MANAGED]["status"]
    assert [after[name] for name in ("lastRotationTime", "revision")] == [
        status[name] for name in ("lastRotationTime", "revision")
    ]
    assert rows(after) == rows(status)
    assert {pod: one.restarted_for for pod, one in cluster.pods.items()} == restarts


async def test_a_status_with_fields_of_a_later_version_is_read() -> None:
    cluster = await refused()
    status = copy.deepcopy(cluster.objects[MANAGED]["status"])
    status["workloads"][0] |= {"reason": "OfALaterVersion", "more": 1}
    status["policy"] = {
        "violations": [{"rule": "ofALaterVersion", "item": "a", "message": "", "more": 1}],
        "more": 1,
    }
    restarts = {pod: list(one.restarted_for) for pod, one in cluster.pods.items()}
    upgraded(cluster, status)

    cluster.tell()
    await cluster.look()

    assert {pod: one.restarted_for for pod, one in cluster.pods.items()} == restarts
    policy = cluster.objects[MANAGED]["status"]["policy"]
    assert [one["rule"] for one in policy["violations"]] == ["noSchedule"]
