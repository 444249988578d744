"""The operator's own pods: how they start, and what happens when one is deleted, killed, frozen, or replaced."""

import json
from collections.abc import Callable
from typing import Any

from sandbox.harness import Kubectl, eventually
from tests.e2e.applications import application, managed_secret
from tests.e2e.machine import NAMESPACE, OPERATORS, Installed, Machine, names

_OBJECTS = 50


def test_the_shipped_manifests_start_two_replicas_under_restricted_pod_security(
    operators: Machine, installed: Installed, record_property: Callable[[str, object], None]
) -> None:
    record_property("seconds from apply to two ready replicas", round(installed.seconds, 1))

    pods = operators.pods()
    sources = [
        source
        for pod in pods
        for volume in pod["spec"]["volumes"]
        for source in volume["projected"]["sources"]
    ]
    assert installed.warnings == ""
    assert (installed.pods, installed.ended) == (2, [])
    assert operators.leader() in names(pods)
    assert sum("serviceAccountToken" in source for source in sources) == len(pods)


def test_another_replica_leads_at_once_when_the_leader_is_deleted(
    operators: Machine, namespace: str, record_property: Callable[[str, object], None]
) -> None:
    leader = operators.leader()

    with operators.holders() as holders:
        operators.kubectl("delete", "pod", leader, "-n", NAMESPACE, "--wait=false")
        took = operators.seconds_until_another_leads(leader)
        eventually(lambda: holders()[-1:] not in ([], [""]), "the next holder in the watch")

    record_property("seconds until another replica leads, the leader deleted", round(took, 1))
    make(operators.kubectl, namespace, "auth")
    assert "" in holders(), "a leader that ends gives its Lease up, and nobody waits until it has run out"


def test_a_drain_leaves_one_replica_to_lead(operators: Machine, namespace: str) -> None:
    kubectl, node = operators.kubectl, operators.node.name
    before = names(operators.pods())
    try:
        # The budget lets one pod go, and no other node is there for its successor: the drain stops at the second.
        drained = kubectl.run(
            "drain",
            node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=8s",
            f"--pod-selector={OPERATORS}",
        )
        left = names(operators.pods()) & before
        assert drained.returncode != 0
        assert "disruption budget" in drained.stderr
        assert len(left) == 1
        eventually(lambda: operators.leader() in left, "the lead of the replica that is left")
        make(kubectl, namespace, "auth")
    finally:
        kubectl("uncordon", node)
    operators.wait_until_ready()


def test_a_rolling_upgrade_and_back_rewrites_nothing_and_restarts_no_workload(
    operators: Machine, namespace: str
) -> None:
    kubectl = operators.kubectl
    objects = [managed_secret(f"secret-{number:03}") for number in range(_OBJECTS)]
    kubectl("apply", "-n", namespace, "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("wait", "ms", "--all", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    kubectl("apply", "-n", namespace, "-f", "-", given=application("Deployment", "api", "secret-000"))
    kubectl("rollout", "status", "deployment/api", "-n", namespace, "--timeout=60s")
    eventually(lambda: _has_consumers(operators, namespace), "the workload in the status")
    before = written(kubectl, namespace)
    shipped = kubectl.json("get", "deployment", "keyturn", "-n", NAMESPACE)
    (container,) = shipped["spec"]["template"]["spec"]["containers"]
    other = operators.node.tag(container["image"], "other")

    for image in (other, container["image"]):
        old = names(operators.pods())
        kubectl("set", "image", "deployment/keyturn", f"keyturn={image}", "-n", NAMESPACE)
        kubectl("rollout", "status", "deployment/keyturn", "-n", NAMESPACE, "--timeout=90s")
        operators.wait_until_ready()
        assert not old & names(operators.pods())
        make(kubectl, namespace, f"by-{image.rpartition(':')[2]}".replace(".", "-"))

    after = written(kubectl, namespace)
    assert {name: after[name] for name in before} == before
    assert operators.ended() == []


def make(kubectl: Kubectl, namespace: str, name: str) -> None:
    """Have the operator write a Secret: it works."""
    kubectl("apply", "-n", namespace, "-f", "-", given=managed_secret(name))
    kubectl("wait", f"ms/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=55s")


def written(kubectl: Kubectl, namespace: str) -> dict[str, str]:
    """Return the versions of all that an operator could have written, by kind and name."""
    found = kubectl.json("get", "ms,secrets,deployments", "-n", namespace)["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": _version(one) for one in found}


def _version(one: dict[str, Any]) -> str:
    # A Deployment's status is its controller's; its generation is what a restart changes.
    metadata = one["metadata"]
    return str(metadata["generation"] if one["kind"] == "Deployment" else metadata["resourceVersion"])


def _has_consumers(machine: Machine, namespace: str) -> bool:
    status = machine.objects.get("ManagedSecret", namespace, "secret-000")["status"]
    return "Current" in json.dumps(status.get("workloads", []))
