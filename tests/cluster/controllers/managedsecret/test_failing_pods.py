"""What is done, and said, while the pods of a rollout crash, wait, or stay where they are."""

from typing import Any

import pytest
import yaml

from sandbox.harness import Kubectl, eventually
from tests.cluster.namespace import MARKER, Space
from tests.cluster.workloads import daemon_set, deployment, env_from, stateful_set
from tests.conftest import ROOT
from tests.support.objects import Body

_SANDBOX = "sandbox.keyturn.dev"
_SAID = ("what-the-container-said", "what-the-kubelet-said")
_LONG = 30


def crashing(**more: Any) -> Body:
    """Make a Deployment whose pods crash with revision 2."""
    annotations = {f"{_SANDBOX}/crashes-with": "auth=2"}
    return deployment("api", env_from("auth"), pod_annotations=annotations, **more)


def never_ready(marker: str = "auth=2", **more: Any) -> Body:
    """Make a StatefulSet whose pods run with a revision and are never ready."""
    annotations = {f"{_SANDBOX}/fails-with": marker}
    return stateful_set("web", env_from("auth"), pod_annotations=annotations, **more)


def uids(space: Space) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in space.pods("web")}


def test_pods_that_crash_take_a_revision_back_long_before_its_deadline(space: Space) -> None:
    space.managed()
    before = space.values()
    space.run(crashing(replicas=2))

    space.rotate()
    space.stalled("RolledBack")  # which is not waited for as long as the ten minutes of its deadline

    assert (space.values(), space.revision()) == (before, "1")
    space.until_rolled("Deployment", "api")
    note = space.until_event("RolledBack")
    assert "Deployment/api: its new pods crash: pod api-" in note
    assert note.endswith(": container main: CrashLoopBackOff, exit code 1")
    assert not any(said in str(space.status()) + note for said in _SAID)
    failed = next(one for one in space.status()["history"] if one["result"] == "RolledBack")
    assert failed["message"] in note
    assert failed["message"].startswith("Deployment/api: its new pods crash: pod api-")
    assert "its new pods crash: pod api-" in space.until_event("WorkloadFailed", "api")


@pytest.mark.parametrize("build", [deployment, daemon_set], ids=["Deployment", "DaemonSet"])
def test_a_rollout_that_fails_costs_no_healthy_pod(build: Any, space: Space) -> None:
    space.managed(rollout={"progressDeadline": "2s"})
    spec = {} if build is daemon_set else {"replicas": 3}
    fails = {f"{_SANDBOX}/fails-with": "auth=2"}
    kind = space.run(build("web", env_from("auth"), pod_annotations=fails, **spec))["kind"]
    before = markers(space)

    space.rotate()
    eventually(lambda: "auth=2" in markers(space).values(), "a pod that fails")
    kept = before.keys() & markers(space).keys()
    space.stalled("RolledBack")
    space.until_rolled(kind, "web")

    assert kept
    assert kept <= markers(space).keys(), "each healthy pod is the one that it was"
    assert set(markers(space).values()) == {""}
    assert space.marker("web", kind) is None
    assert space.until_workload("web", state="Current")["state"] == "Current"


def markers(space: Space) -> dict[str, str]:
    """Return the UIDs of the pods, each with its marker."""
    found = (pod["metadata"] for pod in space.pods("web"))
    return {one["uid"]: one["annotations"].get(MARKER, "") for one in found}


def test_a_pod_that_its_stateful_set_does_not_replace_is_named_with_the_command(space: Space) -> None:
    """The first rotation leaves no marker behind, by which such a workload could be known."""
    space.managed(rollout={"progressDeadline": "2s"})
    space.run(never_ready(replicas=2))
    kept = uids(space)["web-0"]
    space.rotate()
    space.until(lambda _: space.marker("web", "StatefulSet") == "auth=2", "the template turns")
    space.until(
        lambda _: space.marker("web", "StatefulSet") is None, "the template is back, without a marker"
    )

    command = f"kubectl delete pod web-1 -n {space.namespace}"
    told = lambda: command in str((space.workload("web") or {}).get("message"))  # noqa: E731
    eventually(told, "the command is in the status", _LONG)
    assert space.stalled("RolloutFailed").endswith(command)
    assert (space.workload("web") or {})["state"] == "Failed"
    space.objects.delete("Pod", space.namespace, "web-1")

    space.stalled("RolledBack")
    space.until_rolled("StatefulSet", "web")
    is_current = lambda: (space.workload("web") or {}).get("state") == "Current"  # noqa: E731
    eventually(is_current, "it runs the revision before", _LONG)
    assert space.marker("web", "StatefulSet") is None
    assert uids(space)["web-0"] == kept


@pytest.fixture
def with_the_right(space: Space, kubectl: Kubectl) -> None:
    """Give the operator the right of the component, in the test's namespace only."""
    given = (ROOT / "manifests" / "components" / "pod-deletion" / "pods.yaml").read_text()
    for body in yaml.safe_load_all(given.replace("ClusterRole", "Role")):
        body["metadata"]["namespace"] = space.namespace
        kubectl("apply", "-f", "-", given=body)


@pytest.mark.usefixtures("with_the_right")
def test_such_a_pod_is_deleted_where_the_operator_may_and_no_other_is(space: Space) -> None:
    space.managed()
    space.run(never_ready("auth=3", replicas=2))
    space.rotated()
    space.respec(lambda spec: spec["rollout"].update(progressDeadline="2s"))
    pods = uids(space)
    marker = space.marker("web", "StatefulSet")

    space.rotate()

    space.stalled("RolledBack")
    space.until_rolled("StatefulSet", "web")
    now = uids(space)
    assert now["web-0"] == pods["web-0"]
    assert now["web-1"] != pods["web-1"]
    assert space.marker("web", "StatefulSet") == marker
    is_current = lambda: (space.workload("web") or {}).get("state") == "Current"  # noqa: E731
    eventually(is_current, "it runs the revision before", _LONG)
    assert space.until_event("PodDeleted", "web") == (
        "pod web-1 is deleted and created again: it has revision 3 of the Secret of ManagedSecret"
        " auth, which was rolled back, and was never ready"
    )
    assert len(space.events("PodDeleted", "web")) == 1
