"""How restarts are paced, what holds them up, and how that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.harness import eventually
from tests.cluster.workloads import deployment, env_from, stateful_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.namespace import Space
    from tests.support.objects import Body


def listed(*names: str, **more: Any) -> Body:
    return {"restart": "Listed", "targets": [{"kind": "Deployment", "name": name} for name in names], **more}


def pause(body: Body) -> None:
    body["spec"]["paused"] = True


def resume(body: Body) -> None:
    body["spec"]["paused"] = False


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


def test_a_paused_deployment_is_restarted_when_it_is_resumed(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))
    edit_seen(space, "api", pause)
    space.rotate()
    space.until_workload("api", state="Pending")

    space.edit("Deployment", "api", resume)

    space.settled(revision=2)
    assert space.marker("api") == "auth=2"


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


def _states(body: Body) -> list[str]:
    return [one["state"] for one in body["status"].get("workloads", ())]


# Who may be restarted


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
