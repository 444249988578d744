"""What a rotation does to real containers: under load, and where the new value breaks them."""

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.harness import Kubectl, eventually
from tests.e2e.applications import application, managed_secret, service
from tests.e2e.machine import Machine
from tests.install.installation import MANIFESTS
from tests.support.objects import Objects

_REPLICAS = 2


def apply(kubectl: Kubectl, namespace: str, *bodies: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
    kubectl("apply", "-n", namespace, "-f", "-", given=listed)


def rotate(kubectl: Kubectl, namespace: str, name: str) -> None:
    kubectl("annotate", "ms", name, "-n", namespace, "keyturn.dev/rotate=now", "--overwrite")


def status_of(objects: Objects, namespace: str, name: str) -> dict[str, Any]:
    status: dict[str, Any] = objects.get("ManagedSecret", namespace, name).get("status") or {}
    return status


def runs(objects: Objects, namespace: str, name: str, revision: int) -> bool:
    status = status_of(objects, namespace, name)
    conditions = {one["type"]: one["status"] for one in status.get("conditions", ())}
    return status.get("revision") == revision and conditions.get("WorkloadsCurrent") == "True"


def test_a_rotation_under_load_fails_no_request(operators: Machine, namespace: str) -> None:
    kubectl, objects = operators.kubectl, operators.objects
    apply(kubectl, namespace, managed_secret("auth"))
    kubectl("wait", "ms/auth", "-n", namespace, "--for=condition=Ready", "--timeout=55s")
    apply(kubectl, namespace, application("Deployment", "api", "auth"), service("api"))
    kubectl("rollout", "status", "deployment/api", "-n", namespace, "--timeout=60s")
    address = kubectl("get", "service", "api", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    before = uids(objects, namespace, "api")

    with operators.load(f"http://{address}/") as outcome:
        rotate(kubectl, namespace, "auth")
        eventually(lambda: runs(objects, namespace, "auth", 2), "revision 2 in every pod")
        eventually(lambda: len(uids(objects, namespace, "api")) == _REPLICAS, "the end of the old pods")

    (load,) = outcome
    assert (load.failed, load.errors) == (0, {})
    # The old value and the new one of each, and no third.
    assert (len(load.env), load.env[-1]) == (2, fingerprint(kubectl, namespace, "token"))
    assert (len(load.file), load.file[-1]) == (2, fingerprint(kubectl, namespace, "certificate-password"))
    assert not before & uids(objects, namespace, "api")


@pytest.fixture
def pod_deletion(machine: Machine) -> Iterator[None]:
    """The right to delete pods that a StatefulSet leaves behind."""
    machine.kubectl("apply", "-k", str(MANIFESTS / "components" / "pod-deletion"))
    yield
    machine.kubectl("delete", "-k", str(MANIFESTS / "components" / "pod-deletion"))


@pytest.mark.usefixtures("pod_deletion")
def test_a_revision_that_breaks_a_workload_is_taken_back(operators: Machine, namespace: str) -> None:
    def one(kind: str, fault: str) -> None:
        is_taken_back(operators, namespace, kind, fault)

    # One that never gets ready is judged by its deadline, and those that crash by their restarts.
    faults = {"Deployment": "UNREADY_ON", "StatefulSet": "CRASH_ON", "DaemonSet": "CRASH_ON"}
    with ThreadPoolExecutor(len(faults)) as together:  # most of the time the kubelet waits before a restart
        list(together.map(one, *zip(*faults.items(), strict=True)))


def is_taken_back(machine: Machine, namespace: str, kind: str, fault: str) -> None:
    kubectl, objects, name = machine.kubectl, machine.objects, kind.lower()
    healthy = begin(machine, namespace, kind, fault)

    rotate(kubectl, namespace, name)
    eventually(lambda: went_back(objects, namespace, name), f"the rollback of a {kind}", timeout=150)
    eventually(lambda: runs(objects, namespace, name, 1), f"revision 1 in every pod of a {kind}", timeout=90)
    kubectl("rollout", "status", f"{kind}/{name}", "-n", namespace, "--timeout=60s")

    # Of a Deployment the pods that worked are the ones that work now. The others replace their pods in place: one.
    assert len(healthy - uids(objects, namespace, name)) == (0 if kind == "Deployment" else 1), kind


def begin(machine: Machine, namespace: str, kind: str, fault: str) -> set[str]:
    """Have a workload run that revision 2 breaks, named as its Secret by its kind; return the UIDs of its pods."""
    kubectl, name = machine.kubectl, kind.lower()
    # A crash loop is judged by its restarts long before the deadline; what never gets ready, by the deadline.
    # The kubelet waits 10 s before the first restart, 20 s before the second, 40 s before the third.
    crashes = {"progressDeadline": "10m", "failFast": {"restarts": 1}}
    rollout = crashes if fault == "CRASH_ON" else {"progressDeadline": "10s"}
    apply(kubectl, namespace, managed_secret(name, **rollout))
    kubectl("wait", f"ms/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=55s")
    apply(kubectl, namespace, application(kind, name, name, {fault: f"revision:{name}=2"}))
    kubectl("rollout", "status", f"{kind}/{name}", "-n", namespace, "--timeout=60s")
    return uids(machine.objects, namespace, name)


def fingerprint(kubectl: Kubectl, namespace: str, key: str) -> str:
    """Return the SHA-256 of what the Secret `auth` has under `key`, as the application shows it."""
    data = kubectl.json("get", "secret", "auth", "-n", namespace)["data"]
    return hashlib.sha256(base64.b64decode(data[key])).hexdigest()


def went_back(objects: Objects, namespace: str, name: str) -> bool:
    return any(
        entry["result"] == "RolledBack" for entry in status_of(objects, namespace, name).get("history", ())
    )


def uids(objects: Objects, namespace: str, app: str) -> set[str]:
    found = objects.all("Pod", namespace, labelSelector=f"app={app}")
    return {pod["metadata"]["uid"] for pod in found}
