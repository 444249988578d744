"""Who is restarted by a rotation, and who is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster import workloads
from tests.cluster.namespace import MARKER
from tests.cluster.workloads import daemon_set, deployment, env, env_from, stateful_set

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

WAYS = [
    pytest.param(env("auth", "token"), ["env"], id="env"),
    pytest.param(env_from("auth"), ["envFrom"], id="envFrom"),
    pytest.param(workloads.volume("auth"), ["volume"], id="volume"),
    pytest.param(workloads.volume("auth", "token"), ["volume"], id="volume of one key"),
    pytest.param(workloads.projected("auth"), ["projected"], id="projected volume"),
    pytest.param(workloads.init_env("auth", "token"), ["env"], id="init container"),
]
KINDS = [
    pytest.param(deployment, id="Deployment"),
    pytest.param(stateful_set, id="StatefulSet"),
    pytest.param(daemon_set, id="DaemonSet"),
]


@pytest.mark.parametrize(("pod", "via"), WAYS)
def test_a_consumer_is_found_and_restarted_once_per_rotation(pod: Body, via: list[str], space: Space) -> None:
    space.managed()
    before = space.run(deployment("api", pod))["metadata"]["generation"]

    status = space.rotated()

    assert space.generation("Deployment", "api") == before + 1
    assert space.marker("api") == "auth=2"
    assert status["workloads"] == [
        {"kind": "Deployment", "name": "api", "via": via, "state": "Current", "revision": 2}
    ]


@pytest.mark.parametrize("build", KINDS)
def test_every_kind_of_workload_runs_the_new_revision_when_it_is_said_to(build: Any, space: Space) -> None:
    space.managed()
    made = space.run(build("api", env_from("auth")))
    kind, before = made["kind"], made["metadata"]["generation"]

    status = space.rotated()

    assert space.generation(kind, "api") == before + 1
    assert {_marker_of(pod) for pod in _living(space, "api")} == {"auth=2"}
    assert [(one["kind"], one["state"]) for one in status["workloads"]] == [(kind, "Current")]


def _living(space: Space, app: str) -> list[Body]:
    return [pod for pod in space.pods(app) if "deletionTimestamp" not in pod["metadata"]]


def _marker_of(pod: Body) -> str | None:
    return (pod["metadata"].get("annotations") or {}).get(MARKER)


def test_the_first_creation_restarts_no_workload(space: Space) -> None:
    space.run(deployment("api", env_from("auth")))
    before = space.version("Deployment", "api")

    space.managed()
    space.looked_at()

    assert space.version("Deployment", "api") == before
    assert space.workload("api") == {
        "kind": "Deployment",
        "name": "api",
        "via": ["envFrom"],
        "state": "Current",
    }


def test_a_workload_that_another_writer_restarted_is_not_restarted_again(space: Space) -> None:
    space.managed(rollout={"restart": "None"})
    space.run(deployment("api", env_from("auth")))
    space.rotate()
    space.until_condition("WorkloadsCurrent", "False", "RestartRefused")
    space.second_after()

    before = space.edit("Deployment", "api", _restart_by_hand)["metadata"]["generation"]
    space.settled(revision=2)
    space.respec(lambda spec: spec["rollout"].pop("restart"))
    space.settled(revision=2)

    assert space.generation("Deployment", "api") == before
    assert space.marker("api") is None


def _restart_by_hand(body: Body) -> None:
    body["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}


def test_two_secrets_that_rotate_together_restart_a_workload_once(space: Space) -> None:
    for name in ("auth", "mail"):
        space.managed(name=name, rollout={"debounce": "1h"})
    before = space.run(deployment("api", env_from("mail", "auth")))["metadata"]["generation"]

    for name in ("auth", "mail"):
        space.rotate(name)
    for name in ("auth", "mail"):
        space.until_revision("2", name)
    for name in ("auth", "mail"):
        space.respec(lambda spec: spec["rollout"].update(debounce="0s"), name)
    for name in ("auth", "mail"):
        space.settled(name, revision=2)

    assert space.marker("api") == "auth=2,mail=2"
    assert space.generation("Deployment", "api") == before + 1


def test_annotations_of_the_pod_template_stay(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth"), pod_annotations={"shop.test/why": "login"}))

    space.rotated()

    template = space.get("Deployment", "api")["spec"]["template"]["metadata"]
    assert template["annotations"] == {"shop.test/why": "login", MARKER: "auth=2"}


def test_an_event_on_the_workload_says_why_it_was_restarted(space: Space) -> None:
    space.managed()
    space.run(deployment("api", env_from("auth")))

    space.rotated()

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
