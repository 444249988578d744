"""What `keyturn plan` and `--wait` say of pods that Keyturn does not restart, on a real API server."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.harness import Kubectl, eventually
from tests.cluster.namespace import Space
from tests.cluster.workloads import bare_pod, deployment, env_from
from tests.conftest import Cluster
from tests.support.console import Console, cells

_RUNS = {
    "spec": {
        **env_from("auth"),
        "restartPolicy": "Never",
        "nodeName": "none",
        "terminationGracePeriodSeconds": 0,  # no kubelet reports the end
    }
}
_ALL_PODS = 4
_HELD = "holds the replaced value until it ends: the rotation waits for it"


def pods_of_every_owner(space: Space) -> None:
    """Have a Deployment, a bare pod and a running Job that use the Secret, and a pod that does not."""
    space.run(deployment("api", env_from("auth")))
    space.create({"kind": "Job", "metadata": {"name": "report"}, "spec": {"template": _RUNS}})
    for pod in (bare_pod(), bare_pod("foreign", "another")):
        space.create(pod)
    eventually(lambda: len(space.objects.all("Pod", space.namespace)) == _ALL_PODS, "the pod of the Job")


@pytest.fixture
def blind(cluster: Cluster, namespace: str, kubectl: Kubectl, tmp_path: Path) -> Console:
    """The command line of a user who may read all that a plan needs, except pods."""
    here, name = ("-n", namespace), "blind"
    kinds = "managedsecrets.keyturn.dev,secrets,deployments.apps,statefulsets.apps,daemonsets.apps"
    kubectl("create", "serviceaccount", name, *here)
    kubectl("create", "role", name, "--verb=get,list,watch", f"--resource={kinds}", *here)
    kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={namespace}:{name}", *here)
    return Console(cluster.account(namespace, name, tmp_path / "kubeconfig"), namespace)


def planned(plan: Any) -> dict[str, tuple[int, bool, int]]:
    """Return number of pods, whether they are awaited, and how many are older than the revision, by owner."""
    return {
        f"{one['ownerKind']}/{one['ownerName']}": (one["pods"], one["awaited"], one["podsBeforePublication"])
        for one in plan["pods"]
    }


def test_a_plan_lists_the_pods_that_a_rotation_waits_for(space: Space, console: Console) -> None:
    space.managed()
    space.second_after()
    pods_of_every_owner(space)

    assert planned(console.json("plan", "auth")) == {"Job/report": (1, True, 0), "Pod/bare": (1, True, 0)}
    rows = cells(console("plan", "auth"))
    assert rows[-3:] == [
        ["NOT RESTARTED", "PODS", "STARTED", "USES IT BY", "WHAT HAPPENS"],
        ["Job/report", "1", "<time>", "envFrom", _HELD],
        ["Pod/bare", "1", "<time>", "envFrom", _HELD],
    ]


def test_what_a_plan_lists_is_what_the_operator_waits_for(space: Space, console: Console) -> None:
    space.managed()
    space.second_after()
    pods_of_every_owner(space)
    space.second_after()
    expected = planned(console.json("plan", "auth")).keys()

    space.rotate()
    space.until_workload("bare", kind="Pod", state="Pending", reason="NotRestartedByKeyturn")

    rows = space.status()["workloads"]
    assert {f"{row['kind']}/{row['name']}" for row in rows if row["state"] == "Pending"} == expected
    assert planned(console.json("plan", "auth")) == dict.fromkeys(expected, (1, True, 1))


def test_without_the_right_to_list_pods_they_are_unknown(
    space: Space, console: Console, blind: Console
) -> None:
    space.managed()
    pods_of_every_owner(space)

    found = blind.json("plan", "auth")

    reason = f"you may not list pods in namespace '{space.namespace}'"
    note = f"Unknown which pods that Keyturn does not restart use the Secret: {reason}"
    assert found["pods"] is None
    assert note in found["notes"]
    assert note in blind("plan", "auth")
    assert console.json("plan", "auth")["pods"] != []


def test_a_wait_ends_when_the_last_of_the_pods_has_ended(space: Space, console: Console) -> None:
    space.managed()
    space.second_after()
    space.create(bare_pod())
    space.second_after()
    waiting = console.start("rotate", "auth", "--wait", "--timeout=3m")
    try:
        space.until_workload("bare", kind="Pod", state="Pending")
        space.delete("Pod", "bare")
        printed, errors = waiting.communicate(timeout=200)
    finally:
        waiting.kill()

    assert (waiting.returncode, errors) == (0, "")
    assert "done: revision 2 is in the Secret auth" in printed
