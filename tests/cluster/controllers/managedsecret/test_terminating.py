"""Pods that are terminating serve with earlier values: until they end, no rollout is through, nothing is revoked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, is_rolled, password
from tests.cluster.workloads import daemon_set, deployment, env_from, stateful_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.namespace import Space
    from tests.support.objects import Body

HOLD = "sandbox.keyturn.dev/hold"
"""A finalizer keeps a pod as a long grace period does: its containers are there, and its owner has given it up."""
KEPT = {**password(), "keepPrevious": True}
WORKLOADS: dict[str, Callable[..., Body]] = {
    "Deployment": deployment,
    "StatefulSet": stateful_set,
    "DaemonSet": daemon_set,
}


def held(kind: str = "Deployment", name: str = "api", **spec: Any) -> Body:
    """Make a workload whose pods stay terminating until they are let go."""
    return WORKLOADS[kind](name, env_from("auth"), pod_finalizers=(HOLD,), **spec)


@pytest.fixture
def space(space: Space) -> Iterator[Space]:
    yield space
    let_go(space)


def let_go(space: Space, app: str | None = None) -> None:
    """Let pods end that are terminating, and those that will be."""
    for pod in space.pods(app) if app else space.objects.all("Pod", space.namespace):
        if HOLD in pod["metadata"].get("finalizers", ()):
            space.edit("Pod", pod["metadata"]["name"], _without_finalizers)


def let_go_terminating(space: Space, app: str = "api") -> None:
    for name in terminating(space, app):
        space.edit("Pod", name, _without_finalizers)


def _without_finalizers(pod: Body) -> None:
    pod["metadata"].pop("finalizers", None)


def terminating(space: Space, app: str = "api") -> list[str]:
    pods = (pod["metadata"] for pod in space.pods(app))
    return sorted(pod["name"] for pod in pods if pod.get("deletionTimestamp"))


def manage(space: Space, **rollout: Any) -> None:
    space.managed(KEPT, bytes_(), rotation={"overlap": "1h"}, rollout=rollout)


def until_waiting(space: Space, name: str = "api") -> Body:
    """Wait until pods that are terminating are named; return what is said of the workload."""

    def names_them() -> bool:
        found = space.workload(name)
        return found is not None and "terminating" in found.get("message", "")

    eventually(names_them, f"pods of {name} are named")
    return space.workload(name) or {}


# What begins when every pod with the value before has ended


def test_the_overlap_begins_when_the_last_pod_with_the_value_before_has_ended(space: Space) -> None:
    manage(space)
    space.run(held(replicas=2))

    space.rotate()
    said = until_waiting(space)
    space.until_rolled("Deployment", "api")
    space.until(lambda _: len(terminating(space)) == 2, "both are terminating")
    space.looked_at()

    first, second = terminating(space)
    said = space.until_workload(
        "api", message=f"2 pods with revision 1 are still terminating: {first}, {second}"
    )
    assert (said["state"], said["revision"]) == ("Rolling", 2)
    status = space.status()
    assert status["previous"] == {"revision": 1}, "until when is not known yet"
    assert status["rotation"]["step"] == "RollOut"
    assert space.events("Rotated") == []
    verdict = space.condition("WorkloadsCurrent")
    assert verdict
    assert (verdict["status"], verdict["reason"]) == ("False", "RollingOut")
    assert said["message"] in verdict["message"]

    let_go_terminating(space)

    status = space.until_condition("Rotating", "True", "Overlap")
    assert "validUntil" in status["previous"]
    assert space.until_event("Rotated") == "every workload runs revision 2 (Triggered)"
    assert space.until_workload("api", state="Current")["revision"] == 2


def test_the_pods_of_a_replica_set_that_is_gone_are_counted(space: Space) -> None:
    manage(space)
    space.run(held(revisionHistoryLimit=0))

    space.rotate()

    (name,) = _until_terminating(space)
    assert until_waiting(space)["message"] == f"1 pod with revision 1 is still terminating: {name}"
    assert "validUntil" not in space.status()["previous"]
    let_go_terminating(space)
    space.until_condition("Rotating", "True", "Overlap")


def _until_terminating(space: Space, app: str = "api") -> list[str]:
    eventually(lambda: bool(terminating(space, app)), f"pods of {app} are terminating")
    return terminating(space, app)


def test_pods_that_were_made_by_another_restart_are_distinguished_from_those_that_leave(space: Space) -> None:
    """A workload that runs the new value already is not restarted for a pod that is about to end."""
    manage(space, debounce="1h")
    space.run(held())
    space.rotate()
    space.until_revision("2")
    space.second_after()
    space.edit("Deployment", "api", _restart_by_hand)
    space.until_rolled("Deployment", "api")
    _until_terminating(space)

    space.respec(lambda spec: spec["rollout"].update(debounce="0s"))

    until_waiting(space)
    assert space.marker("api") is None, "nobody restarted it"
    let_go_terminating(space)
    space.until_condition("Rotating", "True", "Overlap")
    assert space.marker("api") is None


def _restart_by_hand(body: Body) -> None:
    body["spec"]["template"]["metadata"].setdefault("annotations", {})["restarted"] = "by hand"


# What does not fail because of them


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param("Deployment", {"strategy": {"type": "Recreate"}}, id="Deployment that is made anew"),
        pytest.param("StatefulSet", {}, id="StatefulSet"),
        pytest.param("DaemonSet", {}, id="DaemonSet"),
    ],
)
def test_no_deadline_counts_for_a_pod_that_does_not_end(kind: str, spec: Body, space: Space) -> None:
    manage(space, progressDeadline="2s")
    space.run(held(kind, **spec))

    space.rotate()
    said = until_waiting(space)
    _later(space, 4)

    (name, *_) = terminating(space)
    assert space.revision() == "2", "it was not taken back"
    assert said["state"] == "Rolling"
    assert name in said["message"]
    assert space.events("RolledBack") == []
    _let_go_until_rolled(space, kind)
    space.until_condition("Rotating", "True", "Overlap")
    assert space.marker("api", kind) == "auth=2"


def _later(space: Space, seconds: float) -> None:
    """Wait until a deadline of so many seconds is over by the API server's clock, and it was looked at since."""
    published = space.get("Secret", "auth")["metadata"]["annotations"]["keyturn.dev/published"]
    over = datetime.fromisoformat(published) + timedelta(seconds=seconds)

    def is_over() -> bool:
        made = space.create({"kind": "ServiceAccount", "metadata": {"generateName": "clock-"}})
        return datetime.fromisoformat(made["metadata"]["creationTimestamp"]) > over

    eventually(is_over, f"{seconds} seconds after the publication")
    space.looked_at()


def _let_go_until_rolled(space: Space, kind: str) -> None:
    """Let each pod end that is terminating, as one after the other is."""

    def rolled() -> bool:
        let_go_terminating(space)
        return is_rolled(space.get(kind, "api")) and not terminating(space)

    eventually(rolled, f"{kind} api is rolled out")


# Emergencies
