"""What stays known of an object while its spec cannot be followed."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keyturn.api import ManagedSecret
from tests.simulation.simulated_cluster import MANAGED, Cluster

if TYPE_CHECKING:
    from keyturn.api.status import ManagedSecretStatus

SPEC: dict[str, Any] = {
    "data": [{"name": "password", "generate": {"password": {}}}, {"name": "pin", "literal": "hunter2"}],
    "rotation": {"every": "90d", "jitter": "0%", "overlap": "0s"},
}


def status_of(cluster: Cluster) -> ManagedSecretStatus:
    return ManagedSecret.model_validate(cluster.objects[MANAGED]).status


def compliance(cluster: Cluster) -> tuple[str, str]:
    found = next(one for one in status_of(cluster).conditions if one.type == "PolicyCompliant")
    return found.status, found.reason


async def test_violations_and_the_date_stay_known_until_the_spec_is_fixed() -> None:
    cluster = Cluster(SPEC)
    await cluster.settle()
    before = status_of(cluster)
    assert compliance(cluster) == ("False", "weakValue")

    cluster.change_managed()["target"] = {"template": {"data": {"url": "{{ password"}}}
    cluster.restart()
    await cluster.settle()
    after = status_of(cluster)
    assert compliance(cluster) == ("Unknown", "SpecNotFollowed")
    assert (after.policy, after.next_rotation_time) == (before.policy, before.next_rotation_time)
    assert after.overdue is False

    cluster.now += timedelta(days=91)
    await cluster.look()
    assert status_of(cluster).overdue is True

    del cluster.change_managed()["target"]
    await cluster.settle()
    fixed = status_of(cluster)
    assert compliance(cluster) == ("False", "weakValue")
    assert (fixed.revision, fixed.overdue) == (2, False)


async def test_a_suspended_one_whose_spec_cannot_be_followed_is_due_when_its_rotation_is_overdue() -> None:
    cluster = Cluster(copy.deepcopy(SPEC))
    await cluster.settle()
    date = status_of(cluster).next_rotation_time
    cluster.change_managed().update(
        {"suspend": True, "target": {"template": {"data": {"url": "{{ password"}}}}
    )
    cluster.tell()

    assert await cluster.look() == date

    cluster.now += timedelta(days=91)
    assert await cluster.look() is None
    assert (status_of(cluster).next_rotation_time, status_of(cluster).overdue) == (date, True)
