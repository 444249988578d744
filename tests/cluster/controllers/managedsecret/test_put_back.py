"""A rollout that fails costs no healthy pod: the pod template gets back exactly what stood there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import is_rolled
from tests.cluster.workloads import daemon_set, deployment, env_from, stateful_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.namespace import Space
    from tests.support.objects import Body

QUICKLY = {"progressDeadline": "2s"}
WORKLOADS: dict[str, Callable[..., Body]] = {
    "Deployment": deployment,
    "StatefulSet": stateful_set,
    "DaemonSet": daemon_set,
}
KINDS = [
    pytest.param("Deployment", {"replicas": 3}, id="Deployment"),
    pytest.param("StatefulSet", {"replicas": 3}, id="StatefulSet"),
    pytest.param("DaemonSet", {}, id="DaemonSet"),
]


def failing(marker: str, kind: str = "Deployment", *secrets: str, **spec: Any) -> Body:
    """Make a workload whose pods get ready with every marker but one."""
    annotations = {"sandbox.keyturn.dev/fails-with": marker}
    return WORKLOADS[kind]("api", env_from("auth", *secrets), pod_annotations=annotations, **spec)


def pods(space: Space) -> dict[str, str]:
    """Return the UIDs of the pods, each with its marker."""
    found = (pod["metadata"] for pod in space.pods("api"))
    return {one["uid"]: one["annotations"].get("keyturn.dev/secret-versions", "") for one in found}


def until_back(space: Space, kind: str = "Deployment") -> None:
    """Wait until every pod runs what the template says; what no controller replaces is deleted."""

    def rolled() -> bool:
        if kind == "StatefulSet":  # which waits for a pod to get ready that never does
            desired = space.marker("api", kind) or ""
            stuck = [pod["metadata"] for pod in space.pods("api") if marker_of(pod) != desired]
            for one in stuck:
                space.delete("Pod", one["name"])
        body = space.get(kind, "api")
        return bool(is_rolled(body) and len(pods(space)) == len(set(pods(space))))

    eventually(rolled, f"{kind} api is rolled out")


def marker_of(pod: Body) -> str:
    return str((pod["metadata"].get("annotations") or {}).get("keyturn.dev/secret-versions", ""))


@pytest.mark.parametrize(("kind", "spec"), KINDS)
def test_the_first_rotation_that_fails_costs_no_healthy_pod(kind: str, spec: Body, space: Space) -> None:
    space.managed(rollout=QUICKLY)
    space.run(failing("auth=2", kind, **spec))
    before = pods(space)

    space.rotate()
    eventually(lambda: "auth=2" in pods(space).values(), "a pod that fails")
    kept = {uid for uid, marker in pods(space).items() if marker == "" and uid in before}
    space.until_event("RolledBack")
    eventually(lambda: space.marker("api", kind) != "auth=2", "the template is put back")
    until_back(space, kind)
    space.stalled("RolledBack")

    assert len(kept) >= 1
    assert kept <= pods(space).keys(), "each healthy pod is the one that it was"
    assert set(pods(space).values()) == {""}
    assert space.marker("api", kind) is None
    assert space.until_workload("api", state="Current")["state"] == "Current"


def test_nor_does_a_later_one(space: Space) -> None:
    space.managed()
    space.run(failing("auth=3", replicas=3))
    space.rotated()
    space.respec(lambda spec: spec["rollout"].update(QUICKLY))

    space.rotate()
    eventually(lambda: "auth=3" in pods(space).values(), "a pod that fails")
    kept = {uid for uid, marker in pods(space).items() if marker == "auth=2"}
    space.until_event("RolledBack")
    eventually(lambda: space.marker("api") != "auth=3", "the template is put back")
    until_back(space)
    space.stalled("RolledBack")

    assert len(kept) >= 1
    assert space.marker("api") == "auth=2"
    assert kept <= pods(space).keys()
    assert set(pods(space).values()) == {"auth=2"}


def test_what_others_have_written_into_the_marker_meanwhile_stays(space: Space) -> None:
    """Another secret has turned while the first one failed: its new value has to reach the pods."""
    space.managed(rollout=QUICKLY)
    space.managed(name="tls")
    space.run(failing("auth=2,tls=1", "Deployment", "tls", replicas=2))
    space.rotate()
    eventually(lambda: "auth=2,tls=1" in pods(space).values(), "a pod that fails")

    space.edit("Deployment", "api", _pause)
    space.rotate("tls")
    space.until_revision("2", "tls")
    space.edit("Deployment", "api", _resume)

    space.stalled("RolledBack")
    space.settled("tls", revision=2)
    assert space.marker("api") in {"auth=1,tls=2", "tls=2"}


def _pause(body: Body) -> None:
    body["spec"]["paused"] = True


def _resume(body: Body) -> None:
    body["spec"]["paused"] = False
