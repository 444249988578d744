"""Pods that Keyturn does not restart hold exposed values: an emergency does not claim otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.harness import eventually
from tests.cluster.controllers.emergency.test_emergencies import conditions, declare, report, until
from tests.cluster.namespace import Space, password
from tests.cluster.workloads import env_from

if TYPE_CHECKING:
    from tests.support.objects import Body

UPDATED = ("True", "AllUpdated")
WAITS = ("False", "RollingOut")


def bare_pod(name: str = "bare") -> Body:
    """Build a pod that a node has; no kubelet reports on it."""
    spec = {**env_from("auth"), "nodeName": "none", "terminationGracePeriodSeconds": 0}
    return {"kind": "Pod", "metadata": {"name": name}, "spec": spec}


def prepare(space: Space) -> None:
    """Publish a first revision, and let a second pass, so that pods of that time are older than the next one."""
    space.managed(password(), rollout={"debounce": "0s"})
    space.second_after()


def rotated(space: Space) -> None:
    until(space, lambda now: "rotatedAt" in now, "every secret is rotated")
    eventually(lambda: space.revision() == "2", "the new values are published")


def test_a_bare_pod_with_the_exposed_value_keeps_services_from_being_updated(space: Space) -> None:
    prepare(space)
    space.create(bare_pod())
    space.second_after()

    declare(space)
    rotated(space)
    space.until_workload("bare", kind="Pod", state="Pending", revision=1, reason="NotRestartedByKeyturn")
    eventually(lambda: conditions(space)["ServicesUpdated"] == WAITS, "services wait for the pod")
    eventually(lambda: "Pod/bare" in report(space), "the incident document names the pod")

    space.delete("Pod", "bare")
    eventually(lambda: conditions(space)["ServicesUpdated"] == UPDATED, "services are updated")
