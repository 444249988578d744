"""A template holds the previous value exactly as long as it is valid: over rollouts, crashes and rotations."""

import base64
from datetime import timedelta

import pytest

from keyturn.api import ManagedSecret
from keyturn.api.status import ManagedSecretStatus
from keyturn.core.labels import ROLLBACK, ROTATE
from keyturn.kube import errors
from keyturn.kube.wire import Body
from tests.simulation.simulated_cluster import MANAGED, TARGET, Cluster
from tests.simulation.test_emergencies import put_emergency

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


def rotating(cluster: Cluster) -> str:
    return next(one.message for one in status_of(cluster).conditions if one.type == "Rotating")


def ask_for_a_longer_value(cluster: Cluster) -> None:
    cluster.change_managed()["data"][0]["generate"]["bytes"] = {"length": 48}


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


async def test_a_rotation_during_the_overlap_waits_for_its_end() -> None:
    cluster = await signing()

    await rotate(cluster, "a")
    both = keys_of(cluster)
    await rotate(cluster, "b")
    assert keys_of(cluster) == both
    assert "the requested rotation starts when the overlap of the previous values is over" in rotating(
        cluster
    )
    previous = status_of(cluster).previous
    assert previous is not None
    assert status_of(cluster).next_rotation_time == previous.valid_until

    cluster.now += timedelta(days=1)
    await cluster.settle()
    third, before = keys_of(cluster)
    is_that_of_the_second = before == both[0]
    assert is_that_of_the_second
    assert third not in both


async def test_a_change_of_the_spec_during_the_overlap_keeps_what_pods_hold() -> None:
    cluster = await signing()
    await rotate(cluster, "a")
    second, _ = keys_of(cluster)

    ask_for_a_longer_value(cluster)
    await cluster.settle()

    is_that_of_the_second = keys_of(cluster)[1] == second
    assert is_that_of_the_second


async def test_a_change_of_the_spec_waits_for_pods_with_the_previous_value() -> None:
    cluster = await signing()
    cluster.pause("api", paused=True)
    await rotate(cluster, "a")
    both = keys_of(cluster)
    ask_for_a_longer_value(cluster)
    await cluster.settle()
    assert keys_of(cluster) == both
    assert "waits for pods with the previous one" in rotating(cluster)

    cluster.pause("api", paused=False)
    await cluster.settle()
    is_that_of_the_second = keys_of(cluster)[1] == both[0]
    assert is_that_of_the_second
    assert cluster.pods["api"].restarted_for == [2, 3]


@pytest.mark.parametrize("revoke", ["AfterRollout", "Immediately"])
async def test_an_emergency_keeps_what_pods_hold_unless_it_revokes_at_once(revoke: str) -> None:
    cluster = await signing()
    (first,) = keys_of(cluster)
    cluster.pause("api", paused=True)
    await rotate(cluster, "a")

    cluster.now += timedelta(minutes=1)
    put_emergency(cluster, "leak", revoke=revoke)
    cluster.now += timedelta(seconds=5)
    await cluster.settle()

    is_kept = keys_of(cluster)[1:] == [first]
    assert is_kept is (revoke == "AfterRollout")
    assert status_of(cluster).revision == 3


async def test_a_first_value_that_was_never_published_is_no_previous_one() -> None:
    class Full(Cluster):
        is_full = True

        async def create(self, path: str, body: Body) -> Body:
            if self.is_full and body["metadata"]["name"] == "db":
                raise errors.Forbidden("create", path, 403, "Forbidden")
            return await super().create(path, body)

    cluster = Full({"data": [{"name": "jwt", "keepPrevious": True, "generate": {"bytes": {"length": 32}}}]})
    cluster.tell()
    await cluster.look()
    ask_for_a_longer_value(cluster)
    cluster.tell()
    await cluster.look()
    cluster.is_full = False
    await cluster.settle()

    assert status_of(cluster).revision == 2
    assert list(cluster.data()) == ["jwt"]


async def test_what_pods_hold_stays_for_an_object_that_is_created_again() -> None:
    cluster = await signing()
    (first,) = keys_of(cluster)
    cluster.pause("api", paused=True)
    await rotate(cluster, "a")
    cluster.create_managed(cluster.objects[MANAGED]["spec"])
    await cluster.settle()

    put_emergency(cluster, "leak", revoke="AfterRollout")
    cluster.now += timedelta(seconds=5)
    await cluster.settle()

    is_kept = keys_of(cluster)[1:] == [first]
    assert is_kept


async def test_an_overlap_that_waits_for_its_publication_lasts_as_long_as_it_may() -> None:
    """Its limit counts from the first publication of a successor."""
    cluster = Refusing(
        {
            "data": [{"name": "jwt", "keepPrevious": True, "generate": {"bytes": {"length": 32}}}],
            "rotation": {"overlap": "1h", "maxOverlap": "2h"},
        }
    )
    await cluster.settle()
    cluster.add_workload("api", None)
    await cluster.settle()
    first = cluster.data()["jwt"]
    cluster.refuses = True
    cluster.objects[MANAGED]["metadata"]["annotations"][ROTATE] = "a"
    cluster.touch_managed()
    for _ in range(40):
        cluster.tell()
        await cluster.look()
        cluster.now += timedelta(minutes=5)
    ask_for_a_longer_value(cluster)
    cluster.tell()
    await cluster.look()
    cluster.refuses = False
    await cluster.settle()

    is_kept = cluster.data()["jwt.previous"] == first
    assert is_kept
    previous = status_of(cluster).previous
    assert previous is not None
    assert previous.revision == 1


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
