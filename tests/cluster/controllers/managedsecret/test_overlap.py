"""How long the value before stays readable after a rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, password
from tests.cluster.workloads import deployment, env_from

if TYPE_CHECKING:
    from tests.cluster.namespace import Space

KEPT = {**password(), "keepPrevious": True}


def _managed(space: Space, overlap: str, *data: Any, **spec: Any) -> None:
    space.managed(*(data or (KEPT, bytes_())), rotation={"overlap": overlap}, **spec)


def _until_overlap(space: Space) -> dict[str, Any]:
    return space.until_condition("Rotating", "True", "Overlap")


def test_the_value_before_is_readable_as_soon_as_the_new_one_is(space: Space) -> None:
    _managed(space, "1h")
    before = space.values()

    space.rotate()
    space.until_revision("2")

    after = space.values()
    assert after.keys() == {"password", "token", "password.previous"}
    assert after["password.previous"] == before["password"]
    assert after["password"] != before["password"]


def test_it_is_taken_out_when_the_overlap_ends_and_no_workload_is_restarted_for_it(space: Space) -> None:
    _managed(space, "2s")
    space.run(deployment("api", env_from("auth")))

    status = space.rotated()

    assert space.values().keys() == {"password", "token"}
    assert (space.marker("api"), space.generation("Deployment", "api")) == ("auth=2", 2)
    assert "previous" not in status
    assert space.until_event("Revoked") == "the values of the revision before 2 are removed from the Secret"
    assert space.events("DriftRepaired") == []


def test_the_status_says_until_when(space: Space) -> None:
    _managed(space, "24h")
    space.rotate()

    status = _until_overlap(space)

    assert status["previous"]["revision"] == 1
    assert status["previous"]["validUntil"] > status["lastRotationTime"]
    assert status["history"][0]["result"] == "Succeeded"


def test_the_overlap_does_not_start_while_a_workload_runs_the_old_value(space: Space) -> None:
    _managed(space, "1s", rollout={"restart": "Auto"})
    space.run(deployment("api", env_from("auth")))
    space.edit("Deployment", "api", lambda body: body["spec"].update(paused=True))

    space.rotate()

    status = space.until_condition("Rotating", "True", "RollOut")
    assert status["previous"] == {"revision": 1}
    space.edit("Deployment", "api", lambda body: body["spec"].update(paused=False))
    space.settled(revision=2)
    assert space.values().keys() == {"password", "token"}


def test_another_rotation_waits_while_the_value_before_is_valid(space: Space) -> None:
    _managed(space, "1h")
    space.run(deployment("api", env_from("auth")))
    first = space.values()["password"]
    space.rotate()
    space.until_revision("2")
    space.second_after()

    space.rotate()

    space.until(
        lambda _: "the requested rotation starts" in (space.condition("Rotating") or {})["message"],
        "the second rotation waits",
    )
    _until_overlap(space)
    is_that_of_the_first = space.values()["password.previous"] == first
    assert is_that_of_the_first
    assert (space.revision(), space.marker("api")) == ("2", "auth=2")


def test_another_rotation_begins_when_the_overlap_is_over(space: Space) -> None:
    _managed(space, "2s")
    space.rotate()
    space.until_revision("2")
    second = space.values()["password"]

    space.rotate()
    space.until_revision("3")

    is_that_of_the_second = space.values()["password.previous"] == second
    assert is_that_of_the_second


def test_a_rotation_of_something_else_does_not_cut_it_short(space: Space) -> None:
    _managed(space, "1h")
    first = space.values()["password"]
    space.rotate()
    _until_overlap(space)

    space.respec(lambda spec: spec["rotation"].update(only=["token"]))
    space.rotate()
    space.until_revision("3")

    assert space.values()["password.previous"] == first


def test_a_user_who_removes_it_finds_it_put_back(space: Space) -> None:
    _managed(space, "1h")
    space.rotate()
    _until_overlap(space)
    before = space.values()

    space.edit("Secret", "auth", lambda body: body["data"].pop("password.previous"))

    eventually(lambda: space.values() == before, "the value before is back")


def test_without_an_overlap_nothing_can_be_kept(space: Space) -> None:
    space.manage({**password(), "keepPrevious": True}, rotation={"overlap": "0s"})

    assert space.stalled("InvalidSchedule").endswith("; write an overlap, or remove keepPrevious")


def test_the_first_values_have_none_before_them(space: Space) -> None:
    _managed(space, "1h")

    assert space.values().keys() == {"password", "token"}
