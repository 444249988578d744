"""A template holds the previous value exactly as long as it is valid: over rollouts, crashes and rotations."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from keyturn.api import ManagedSecret
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.kube import errors
from tests.simulation.simulated_cluster import MANAGED, TARGET, Cluster

if TYPE_CHECKING:
    from keyturn.api.status import ManagedSecretStatus
    from keyturn.kube.client import Body

_TEXT = "{{ jwt }}{% if previous.jwt %},{{ previous.jwt }}{% endif %}"


async def signing(overlap: str = "1d") -> Cluster:
    spec = {
        "data": [{"name": "jwt", "generate": {"bytes": {}}}],
        "rotation": {"overlap": overlap},
        "target": {"template": {"data": {"keys": _TEXT}}},
    }
    cluster = Cluster(spec)
    await cluster.settle()
    cluster.add_workload("api", frozenset({"keys"}))
    await cluster.settle()
    return cluster


def status_of(cluster: Cluster) -> ManagedSecretStatus:
    return ManagedSecret.model_validate(cluster.objects[MANAGED]).status


def keys_of(cluster: Cluster) -> list[str]:
    return base64.b64decode(cluster.data()["keys"]).decode().split(",")


async def rotate(cluster: Cluster, text: str) -> None:
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = text
    cluster.touch_managed()
    await cluster.settle()


async def test_both_are_there_during_the_overlap_and_one_afterwards() -> None:
    cluster = await signing()
    (first,) = keys_of(cluster)

    await rotate(cluster, "a")
    second, before = keys_of(cluster)
    assert before == first
    assert cluster.pods["api"].restarted_for == [2]

    cluster.now += timedelta(days=1)
    await cluster.settle()
    assert keys_of(cluster) == [second]
    assert cluster.pods["api"].restarted_for == [2], "the end of an overlap restarts no workload"


async def test_a_rotation_during_the_overlap_holds_the_one_before() -> None:
    cluster = await signing()

    await rotate(cluster, "a")
    second, _ = keys_of(cluster)
    await rotate(cluster, "b")

    assert keys_of(cluster)[1] == second


class Refusing(Cluster):
    """May refuse changes of the Secret, as a quota or an admission webhook does."""

    refuses = False

    async def replace(self, path: str, body: Body) -> Body:
        if self.refuses and path == TARGET:
            raise errors.Forbidden("update", path, 403, "Forbidden")
        return await super().replace(path, body)


async def test_a_value_that_is_not_removed_after_its_overlap_violates_the_checklist() -> None:
    cluster = Refusing({"data": [{"name": "jwt", "keepPrevious": True, "generate": {"bytes": {}}}]})
    await cluster.settle()
    await rotate(cluster, "now")
    cluster.refuses = True
    until = cluster.now + timedelta(hours=5)
    while cluster.now < until:
        cluster.tell()
        await cluster.look()
        cluster.now += timedelta(minutes=5)

    status = status_of(cluster)
    assert "jwt.previous" in cluster.data()
    assert status.policy
    assert "notRevoked" in {one.rule for one in status.policy.violations}
    assert {one.type: one.status for one in status.conditions}["PolicyCompliant"] == "False"

    cluster.refuses = False
    await cluster.settle()
    policy = status_of(cluster).policy
    assert "jwt.previous" not in cluster.data()
    assert policy is None or "notRevoked" not in {one.rule for one in policy.violations}


class Strict(Cluster):
    """Rejects changes of an immutable Secret's values, as the API server does."""

    async def replace(self, path: str, body: Body) -> Body:
        there = self.objects.get(path, {})
        if there.get("immutable") and (there["data"] != body["data"] or not body.get("immutable")):
            raise errors.Invalid("update", path, 422, "Invalid")
        return await super().replace(path, body)


async def test_a_secret_becomes_immutable_when_its_overlap_has_ended() -> None:
    cluster = Strict({"data": [{"name": "jwt", "keepPrevious": True, "generate": {"bytes": {}}}]})
    await cluster.settle()
    await rotate(cluster, "now")
    assert "jwt.previous" in cluster.data()

    cluster.change_managed()["target"] = {"immutable": True}
    await cluster.settle()
    assert "jwt.previous" in cluster.data()
    assert not cluster.objects[TARGET].get("immutable")

    writes = cluster.writes
    cluster.restart()
    await cluster.settle()
    assert cluster.writes == writes

    cluster.now += timedelta(hours=1)
    await cluster.settle()
    assert sorted(cluster.data()) == ["jwt"]
    assert cluster.objects[TARGET]["immutable"] is True
    status = status_of(cluster)
    assert "Stalled" not in {one.type for one in status.conditions}
    assert status.previous is None


async def test_an_edited_secret_is_repaired_before_it_becomes_immutable() -> None:
    cluster = Strict({"data": [{"name": "jwt", "keepPrevious": True, "generate": {"bytes": {}}}]})
    await cluster.settle()
    await rotate(cluster, "now")
    before = cluster.data()
    cluster.change_managed()["target"] = {"immutable": True}
    await cluster.settle()

    cluster.edit_target("jwt", "ZWRpdGVk")
    await cluster.settle()

    assert cluster.data() == before
    assert not cluster.objects[TARGET].get("immutable")


async def test_another_item_during_the_overlap_changes_nothing() -> None:
    cluster = await signing()
    await rotate(cluster, "a")
    both = keys_of(cluster)

    cluster.change_managed()["data"].append({"name": "other", "generate": {"bytes": {}}})
    await cluster.settle()

    assert keys_of(cluster) == both


async def test_without_an_overlap_there_is_no_previous_value() -> None:
    cluster = await signing("0s")

    await rotate(cluster, "a")

    assert len(keys_of(cluster)) == 1


@pytest.mark.parametrize("write", [1, 1.5, 2, 2.5, 3, 3.5])
async def test_a_crash_loses_no_previous_value(write: float) -> None:
    cluster = await signing()
    (first,) = keys_of(cluster)

    cluster.dies_at = cluster.writes + write
    await rotate(cluster, "a")

    assert keys_of(cluster)[1:] == [first]


async def with_notes(rotation: dict[str, str]) -> Cluster:
    """Make a Secret with a previous value, one workload that reads both, and one that reads the current one."""
    spec = {
        "data": [
            {"name": "jwt", "generate": {"bytes": {}}, "keepPrevious": True},
            {"name": "note", "literal": "0"},
        ],
        "rotation": rotation,
    }
    cluster = Cluster(spec)
    await cluster.settle()
    cluster.add_workload("both", frozenset({"jwt", "jwt.previous"}))
    cluster.add_workload("all", None)
    await cluster.settle()
    await rotate(cluster, "a")
    return cluster


async def write_note(cluster: Cluster, text: str) -> None:
    cluster.change_managed()["data"][1]["literal"] = text
    await cluster.settle()


async def test_revisions_of_other_values_do_not_prolong_the_overlap() -> None:
    cluster = await with_notes({"overlap": "1d"})
    until = status_of(cluster).previous
    previous = cluster.data()["jwt.previous"]

    for number in range(1, 4):
        cluster.now += timedelta(hours=6)
        await write_note(cluster, str(number))
        assert cluster.data()["jwt.previous"] == previous
        assert status_of(cluster).previous == until
    cluster.now += timedelta(hours=6)
    await write_note(cluster, "4")

    assert "jwt.previous" not in cluster.data()
    assert cluster.pods["both"].restarted_for == [2], "what it reads has not changed since"
    assert cluster.pods["all"].restarted_for == [2, 3, 4, 5, 6]

    cluster.objects[MANAGED]["metadata"]["annotations"][ROLLBACK] = "4"
    cluster.touch_managed()
    await cluster.settle()
    assert "jwt.previous" not in cluster.data(), "a return does not bring it back"


async def test_the_limit_of_the_overlap_counts_from_the_rotation() -> None:
    cluster = await with_notes({"overlap": "1d", "maxOverlap": "2d"})
    cluster.pause("all", paused=True)

    for number in range(1, 10):
        cluster.now += timedelta(hours=6)
        await write_note(cluster, str(number))

    assert "jwt.previous" not in cluster.data()
