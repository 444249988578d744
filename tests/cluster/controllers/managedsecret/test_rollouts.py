"""How restarts are paced, what holds them up, and how that is shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster import workloads
from tests.cluster.namespace import is_rolled
from tests.cluster.workloads import deployment, env_from, stateful_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.namespace import Space
    from tests.support.objects import Body

ANYBODY = {"keyturn.dev/restart": "allow"}
NOBODY = {"keyturn.dev/restart": "never"}


def listed(*names: str, **more: Any) -> Body:
    return {"restart": "Listed", "targets": [{"kind": "Deployment", "name": name} for name in names], **more}


def pause(body: Body) -> None:
    body["spec"]["paused"] = True


def resume(body: Body) -> None:
    body["spec"]["paused"] = False


def set_ready(answer: str | None) -> Any:
    """Say of the pods to come whether they will be ready."""

    def change(body: Body) -> None:
        annotations = body["spec"]["template"]["metadata"].setdefault("annotations", {})
        annotations.pop("sandbox.keyturn.dev/ready", None)
        annotations |= {"sandbox.keyturn.dev/ready": answer} if answer else {}

    return change


def edit_seen(space: Space, name: str, change: Callable[[Body], object]) -> None:
    """Change a Deployment, and wait until the operator has the change in its cache.

    The watch has changes in their order, so a Deployment that was created later is seen later.
    """
    space.edit("Deployment", name, change)
    space.run(deployment("later", env_from("auth")))
    space.until_workload("later")
    space.delete("Deployment", "later")
    space.until(lambda _: space.workload("later") is None, "the later one is gone")


# Held up


def test_a_paused_deployment_is_waited_for(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    edit_seen(space, "api", pause)

    space.rotate()

    shown = space.until_workload("api", state="Pending")
    assert shown["message"] == "waits because the Deployment is paused"
    space.until_condition("Rotating", "True", "RollOut")
    space.until_condition("WorkloadsCurrent", "False", "RollingOut")
    assert space.marker("api") is None


def test_a_paused_deployment_is_restarted_when_it_is_resumed(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    edit_seen(space, "api", pause)
    space.rotate()
    space.until_workload("api", state="Pending")

    space.edit("Deployment", "api", resume)

    space.settled(revision=2)
    assert space.marker("api") == "auth=2"


def test_a_deployment_that_still_rolls_is_waited_for(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    edit_seen(space, "api", set_ready("never"))

    space.rotate()
    shown = space.until_workload("api", state="Pending")
    unmarked = space.marker("api")
    space.edit("Deployment", "api", set_ready(None))
    space.settled(revision=2)

    assert shown["message"] == "waits for its current rollout to complete"
    assert (unmarked, space.marker("api")) == (None, "auth=2")


def test_a_later_rollout_that_fails_is_none_of_ours(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    space.rotated()
    space.respec(lambda spec: spec["rollout"].update(progressDeadline="2s"))
    time.sleep(2.1)  # what counts from the restart would find it late

    space.edit("Deployment", "api", set_ready("never"))
    eventually(lambda: not is_rolled(space.get("Deployment", "api")), "a rollout of another template")
    space.looked_at()

    status = space.status()
    assert status["workloads"][0]["state"] == "Current"
    assert (space.revision(), space.marker("api")) == ("2", "auth=2")


def test_a_rollout_that_does_not_end_is_shown_and_the_secret_stays_ready(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    _allow_pods(space, 1)

    space.rotate()

    status = space.until_condition("WorkloadsCurrent", "False", "RollingOut")
    shown = space.until_workload("api", state="Rolling", revision=2)
    assert space.status()["rotation"]["step"] == "RollOut"
    assert shown["state"] == "Rolling"
    assert _is_ready(status)


def test_a_failed_rollout_is_shown_and_no_workload_follows_it(space: Space) -> None:
    _fail(space)

    status = space.until_condition("WorkloadsCurrent", "False", "RolloutFailed")

    states = {one["name"]: one["state"] for one in status["workloads"]}
    assert states == {"api": "Failed", "shop": "Pending"}
    assert space.until_event("RotationFailed") == "not available with the new revision: Deployment/api"
    assert space.marker("shop") is None
    assert _is_ready(status)


def test_the_others_follow_when_a_failed_rollout_is_fixed(space: Space) -> None:
    _fail(space)
    space.until_condition("WorkloadsCurrent", "False", "RolloutFailed")

    space.delete("ResourceQuota", "full")

    space.settled(revision=2)
    assert (space.marker("api"), space.marker("shop")) == ("auth=2", "auth=2")


def _is_ready(status: Body) -> bool:
    return ("Ready", "True") in {(one["type"], one["status"]) for one in status["conditions"]}


def _fail(space: Space) -> None:
    """Rotate where two Deployments cannot make one pod more than they have, and give up soon."""
    space.managed(rollout={"onFailure": "Hold"})
    for name in ("api", "shop"):
        space.run(deployment(name, env_from("auth"), progressDeadlineSeconds=1))
    _allow_pods(space, 2)
    space.rotate()


def _allow_pods(space: Space, count: int) -> None:
    """Allow so many pods and no more, so that the rollout of a Deployment that has them cannot begin."""
    hard = {"pods": str(count)}
    space.create({"kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": hard}})
    eventually(lambda: _used(space) == hard, "the quota's count")


def _used(space: Space) -> object:
    return space.get("ResourceQuota", "full").get("status", {}).get("used")


# Pace


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_no_more_than_max_concurrent_roll_at_a_time(at_a_time: int, space: Space) -> None:
    space.managed(rollout={"maxConcurrent": at_a_time})
    for name in ("a", "b", "c"):
        space.run(deployment(name, env_from("auth")))
    _allow_pods(space, 3)

    space.rotate()
    space.until(lambda body: _states(body).count("Rolling") == at_a_time, f"{at_a_time} roll")
    space.looked_at()
    states, marked = _states(space.get("ManagedSecret", "auth")), [space.marker(name) for name in "abc"]
    space.delete("ResourceQuota", "full")
    space.settled(revision=2)

    assert states == ["Rolling"] * at_a_time + ["Pending"] * (3 - at_a_time)
    assert marked == ["auth=2"] * at_a_time + [None] * (3 - at_a_time)


def _states(body: Body) -> list[str]:
    return [one["state"] for one in body["status"].get("workloads", ())]


def test_targets_give_the_order(space: Space) -> None:
    space.manage(rollout={"targets": [{"kind": "Deployment", "name": "b"}]})
    for name in ("a", "b"):
        space.run(deployment(name, env_from("auth")))
    _allow_pods(space, 2)

    space.rotate()

    space.until_workload("b", state="Rolling")
    assert space.until_workload("a", state="Pending")["message"] == "queued for restart"


def test_a_restart_waits_for_the_debounce(space: Space) -> None:
    space.managed(rollout={"debounce": "1h"})
    space.run(deployment("api", env_from("auth")))

    space.rotate()
    space.until_workload("api", state="Pending")
    unmarked = space.marker("api")
    space.respec(lambda spec: spec["rollout"].update(debounce="0s"))
    space.settled(revision=2)

    assert (unmarked, space.marker("api")) == (None, "auth=2")


def test_several_rotations_within_the_debounce_are_one_restart(space: Space) -> None:
    space.managed(rollout={"debounce": "1h"})
    before = space.run(deployment("api", env_from("auth")))["metadata"]["generation"]
    for revision in ("2", "3"):
        space.rotate()
        space.until_revision(revision)

    space.respec(lambda spec: spec["rollout"].update(debounce="0s"))
    status = space.settled(revision=3)

    assert space.marker("api") == "auth=3"
    assert space.generation("Deployment", "api") == before + 1
    results = [(one["revision"], one["result"]) for one in status["history"]]
    assert results == [(3, "Succeeded"), (2, "Superseded"), (1, "Succeeded")]


# Who may be restarted


def test_a_workload_may_refuse_and_it_is_said_what_to_do(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth"), annotations=NOBODY))

    space.rotate()

    space.until_condition("WorkloadsCurrent", "False", "RestartRefused")
    assert space.workload("api") == {
        "kind": "Deployment",
        "name": "api",
        "via": ["envFrom"],
        "state": "Pending",
        "reason": "RestartNever",
        "message": "refuses restarts by keyturn.dev/restart: never; restart it yourself",
    }
    assert space.marker("api") is None


def test_a_refusal_ends_when_the_annotation_goes(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth"), annotations=NOBODY))
    space.rotate()
    space.until_condition("WorkloadsCurrent", "False", "RestartRefused")

    space.annotate("Deployment", "api", restart=None)

    space.settled(revision=2)
    assert space.marker("api") == "auth=2"


def test_restart_none_restarts_no_workload(space: Space) -> None:
    space.managed(rollout={"restart": "None"})
    space.run(deployment("api", env_from("auth")))

    space.rotate()

    space.until_condition("WorkloadsCurrent", "False", "RestartRefused")
    shown = space.until_workload("api", state="Pending")
    assert shown["message"] == "rollout.restart is None; restart it yourself"
    assert space.marker("api") is None


def test_restart_listed_restarts_only_what_is_listed(space: Space) -> None:
    space.manage(rollout=listed("api"))
    for name in ("api", "shop"):
        space.run(deployment(name, env_from("auth")))

    space.rotate()

    space.until_condition("WorkloadsCurrent", "False", "RestartRefused")
    assert (space.marker("api"), space.marker("shop")) == ("auth=2", None)
    shown = space.until_workload("shop", state="Pending")
    assert shown["message"] == "is not among rollout.targets; restart it yourself"


def test_a_listed_workload_that_does_not_use_the_secret_must_agree(space: Space) -> None:
    space.manage(rollout=listed("api"))
    space.run(deployment("api", workloads.pod()))

    space.rotate()

    space.until_condition("WorkloadsCurrent", "False", "RestartRefused")
    assert space.workload("api") == {
        "kind": "Deployment",
        "name": "api",
        "state": "Pending",
        "reason": "NotConsuming",
        "message": (
            "does not consume the Secret; annotate it with keyturn.dev/restart: allow to have it restarted"
        ),
    }
    assert space.marker("api") is None


def test_a_listed_workload_that_agrees_is_restarted(space: Space) -> None:
    space.manage(rollout=listed("api"))
    space.run(deployment("api", workloads.pod(), annotations=ANYBODY))

    space.rotated()

    assert space.marker("api") == "auth=2"


def test_a_listed_workload_that_is_not_there_is_named(space: Space) -> None:
    space.manage(rollout=listed("api"))

    space.until_condition("WorkloadsCurrent", "False", "TargetNotFound")

    condition = space.condition("WorkloadsCurrent")
    assert condition
    assert condition["message"] == "rollout.targets names workloads that do not exist: Deployment/api"


def test_a_listed_workload_is_found_when_it_comes(space: Space) -> None:
    space.manage(rollout=listed("api"))
    space.until_condition("WorkloadsCurrent", "False", "TargetNotFound")

    space.run(deployment("api", env_from("auth")))

    assert space.settled(revision=1)["workloads"][0]["state"] == "Current"


def test_pods_that_no_controller_restarts_are_shown_with_what_to_do(space: Space) -> None:
    space.managed()
    space.run(stateful_set("db", env_from("auth"), updateStrategy={"type": "OnDelete"}))

    space.rotate()
    shown = space.until_workload("db", state="Rolling")
    for pod in space.pods("db"):
        space.delete("Pod", pod["metadata"]["name"])
    space.settled(revision=2)

    assert shown["message"] == "its update strategy is OnDelete: delete its pods to restart them"


# Afterwards


def test_a_workload_that_is_deleted_goes_from_the_status(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    space.until_workload("api", state="Current")

    space.delete("Deployment", "api")

    space.until(lambda body: not _states(body), "no workloads")


def test_a_rotation_ends_when_the_workload_that_it_waits_for_is_deleted(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    edit_seen(space, "api", pause)
    space.rotate()
    space.until_workload("api", state="Pending")

    space.delete("Deployment", "api")

    assert space.settled(revision=2)["history"][0]["result"] == "Succeeded"


# Waves


def test_a_wave_starts_when_the_one_before_is_through(space: Space) -> None:
    targets = [
        {"kind": "Deployment", "name": "first", "wave": -1},
        {"kind": "Deployment", "name": "last", "wave": 1},
    ]
    for name in ("last", "middle", "first"):
        space.run(deployment(name, env_from("auth")))
    space.managed(rollout={"targets": targets, "maxConcurrent": 9})
    space.edit("Deployment", "middle", lambda body: body["spec"].update(paused=True))

    space.rotate()

    space.until_workload("first", state="Current", revision=2)
    space.looked_at()
    assert (space.marker("middle"), space.marker("last")) == (None, None)
    space.edit("Deployment", "middle", lambda body: body["spec"].update(paused=False))
    space.settled(revision=2)
    assert (space.marker("middle"), space.marker("last")) == ("auth=2", "auth=2")


# Others who write to a workload


def test_who_reverts_a_restart_is_reported_and_not_fought(space: Space) -> None:
    space.managed()
    # Pods that nobody makes anew: newer ones would run what is new, whatever the template says.
    space.run(stateful_set("api", env_from("auth"), updateStrategy={"type": "OnDelete"}))
    space.rotate()
    space.until_workload("api", state="Rolling")
    ours = space.generation("StatefulSet", "api")

    space.edit("StatefulSet", "api", _without_marker)

    space.until_workload("api", state="Pending")
    space.looked_at()
    assert (space.marker("api", "StatefulSet"), space.generation("StatefulSet", "api")) == (None, ours + 1)
    (told,) = space.status()["workloads"]
    assert told["message"].startswith(
        "another writer removed keyturn.dev/secret-versions from its pod template"
    )


def _without_marker(body: Body) -> None:
    """Put the template back to what it was."""
    body["spec"]["template"]["metadata"]["annotations"].pop("keyturn.dev/secret-versions")
