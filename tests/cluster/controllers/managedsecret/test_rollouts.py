"""Who is restarted by a rotation, in what order, and what holds a restart up, with Kubernetes' own controllers."""

from typing import Any

import pytest

from sandbox.harness import eventually
from tests.cluster import workloads
from tests.cluster.namespace import MARKER, Space
from tests.cluster.workloads import daemon_set, deployment, env, env_from, stateful_set
from tests.support.objects import Body

WAYS = {
    "env": (env("auth", "token"), "env"),
    "env-from": (env_from("auth"), "envFrom"),
    "volume": (workloads.volume("auth"), "volume"),
    "projected": (workloads.projected("auth"), "projected"),
    "init": (workloads.init_env("auth", "token"), "env"),
}
KINDS = [
    pytest.param(deployment, id="Deployment"),
    pytest.param(stateful_set, id="StatefulSet"),
    pytest.param(daemon_set, id="DaemonSet"),
]


def test_every_way_to_use_a_secret_is_found_and_restarted_once_per_rotation(space: Space) -> None:
    space.managed(rollout={"maxConcurrent": 9})
    before = {name: space.run(deployment(name, pod)) for name, (pod, _) in WAYS.items()}

    status = space.rotated()

    assert {one["name"]: one["via"] for one in status["workloads"]} == {
        name: [via] for name, (_, via) in WAYS.items()
    }
    assert {(one["state"], one["revision"]) for one in status["workloads"]} == {("Current", 2)}
    for name, made in before.items():
        assert space.generation("Deployment", name) == made["metadata"]["generation"] + 1


@pytest.mark.parametrize("build", KINDS)
def test_every_kind_of_workload_runs_the_new_revision_when_it_is_said_to(build: Any, space: Space) -> None:
    space.managed()
    made = space.run(build("api", env_from("auth"), pod_annotations={"shop.test/why": "login"}))
    kind, before = made["kind"], made["metadata"]["generation"]

    status = space.rotated()

    assert space.generation(kind, "api") == before + 1
    alive = [pod["metadata"] for pod in space.pods("api") if "deletionTimestamp" not in pod["metadata"]]
    assert {pod["annotations"][MARKER] for pod in alive} == {"auth=2"}
    assert {pod["annotations"]["shop.test/why"] for pod in alive} == {"login"}
    assert [(one["kind"], one["state"]) for one in status["workloads"]] == [(kind, "Current")]
    note = space.until_event("Restarted", "api")
    assert note == "restarted to use revision 2 of ManagedSecret auth"


def test_a_workload_of_another_namespace_is_never_touched(space: Space, other: Space) -> None:
    eventually(lambda: other.find("ServiceAccount", "default") is not None, "its ServiceAccount")
    foreign = other.foreign("auth")["metadata"]["resourceVersion"]
    before = other.run(deployment("api", env_from("auth")))["metadata"]["resourceVersion"]
    space.managed()
    space.run(deployment("api", env_from("auth")))

    space.rotated()

    assert space.marker("api") == "auth=2"
    assert other.version("Deployment", "api") == before
    assert other.version("Secret", "auth") == foreign


def test_a_wave_waits_for_a_paused_deployment_of_the_one_before(space: Space) -> None:
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


def test_the_others_follow_when_a_rollout_without_room_for_pods_is_fixed(space: Space) -> None:
    space.managed(rollout={"onFailure": "Hold"})
    for name in ("api", "shop"):
        space.run(deployment(name, env_from("auth"), progressDeadlineSeconds=1))
    hard = {"pods": "2"}
    space.create({"kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": hard}})
    eventually(
        lambda: space.get("ResourceQuota", "full").get("status", {}).get("used") == hard, "the quota's count"
    )
    space.rotate()
    status = space.until_condition("WorkloadsCurrent", "False", "RolloutFailed")
    assert ("Ready", "True") in {(one["type"], one["status"]) for one in status["conditions"]}

    space.delete("ResourceQuota", "full")

    space.settled(revision=2)
    assert (space.marker("api"), space.marker("shop")) == ("auth=2", "auth=2")


def test_who_reverts_a_restart_is_reported_and_not_fought(space: Space) -> None:
    space.managed()
    # Pods that no controller creates again: newer ones would run what is new, whatever the template says.
    space.run(stateful_set("api", env_from("auth"), updateStrategy={"type": "OnDelete"}))
    space.rotate()
    shown = space.until_workload("api", state="Rolling")
    assert shown["message"] == "its update strategy is OnDelete: delete its pods to restart them"
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
    body["spec"]["template"]["metadata"]["annotations"].pop(MARKER)
