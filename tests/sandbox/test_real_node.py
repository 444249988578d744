"""A real node runs containers as a node of a cluster does, beside fake ones."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import secrets
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import ControlPlane, RealNode, SandboxError
from sandbox.harness import Kubectl, eventually, installation
from sandbox.node import keeper, machine
from tests.sandbox.helpers import containers_of, node_leftovers_of
from tests.sandbox.pods import pod, service
from tests.support.objects import deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUE = "keyturn-canary-real-node"
FINGERPRINT = hashlib.sha256(VALUE.encode()).hexdigest()
AUTHORITY = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


@pytest.fixture(scope="module")
def plane(troubled: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane with fake nodes and a real one, of which nothing is left after the last test."""
    before = kernel_settings()
    troubled.start_node()
    try:
        assert kernel_settings() == before
        yield troubled
    finally:
        troubled.stop_node()
    assert node_leftovers_of(troubled.folder) == []
    assert kernel_settings() == before


@pytest.fixture
def node(plane: ControlPlane) -> RealNode:
    assert plane.node is not None
    return plane.node


def kernel_settings() -> dict[str, str]:
    names = (*keeper.KERNEL_SETTINGS, "net/ipv4/ip_forward")
    return {name: (Path("/proc/sys") / name).read_text() for name in names}


@pytest.fixture(scope="module")
def running(plane: ControlPlane) -> str:
    """The namespace of a pod `app` that is ready, with a value as environment variable and as file, and a Service."""
    kubectl = Kubectl(plane.kubeconfig)
    namespace = f"test-{secrets.token_hex(4)}"
    installation.create_namespace(kubectl, namespace)
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl("create", "secret", "generic", "app", f"--from-literal=password={VALUE}", "-n", namespace)
    app = pod("app", SECRET_FILE="/secret/password")  # noqa: S106  # a path
    app["spec"]["volumes"] = [{"name": "secret", "secret": {"secretName": "app"}}]
    (container,) = app["spec"]["containers"]
    container["volumeMounts"] = [{"name": "secret", "mountPath": "/secret"}]
    source = {"secretKeyRef": {"name": "app", "key": "password"}}
    container["env"].append({"name": "SECRET", "valueFrom": source})
    kubectl("apply", "-n", namespace, "-f", "-", given=app)
    kubectl("apply", "-n", namespace, "-f", "-", given=service("app"))
    wait_ready(kubectl, namespace, "app")
    return namespace


def wait_ready(kubectl: Kubectl, namespace: str, name: str) -> None:
    kubectl("wait", f"pod/{name}", "-n", namespace, "--for=condition=Ready", "--timeout=30s")


def load(kubectl: Kubectl, node: RealNode, namespace: str, *, seconds: float = 0.5) -> dict[str, Any]:
    """Ask the Service `app` from inside the node."""
    address = kubectl.json("get", "service", "app", "-n", namespace)["spec"]["clusterIP"]
    command = node.command(node.app, "load", f"--url=http://{address}", "--rate=40", f"--for={seconds}s")
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_an_application_reads_its_secret_and_is_reached_by_its_service(
    kubectl: Kubectl, node: RealNode, running: str
) -> None:
    eventually(lambda: load(kubectl, node, running)["failed"] == 0, "answers without a failure")
    report = load(kubectl, node, running)
    assert (report["failed"], report["env"], report["file"]) == (0, [FINGERPRINT], [FINGERPRINT])


def test_a_service_leads_to_ready_pods_only(kubectl: Kubectl, node: RealNode, running: str) -> None:
    never = pod("never", labels={"app": "app"}, REVISION="two", UNREADY_ON="revision:two")
    kubectl("apply", "-n", running, "-f", "-", given=never)
    kubectl("wait", "pod/never", "-n", running, "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
    assert load(kubectl, node, running)["pods"] == ["app"]
    kubectl("delete", "pod", "never", "-n", running, "--timeout=30s")


def test_a_pod_reaches_a_service_that_leads_back_to_itself(kubectl: Kubectl, running: str) -> None:
    address = kubectl.json("get", "service", "app", "-n", running)["spec"]["clusterIP"]
    url = f"--url=http://{address}"

    def reached() -> bool:
        report = json.loads(kubectl("exec", "app", "-n", running, "--", "/app", "load", url, "--for=300ms"))
        return (report["failed"], report["pods"]) == (0, ["app"])

    eventually(reached, "the pod behind its own Service")  # kube-proxy takes a moment to know a new one


def asked_inside(kubectl: Kubectl, namespace: str, name: str) -> dict[str, Any]:
    """Send requests to a name from the pod `app`."""
    url = f"--url=http://{name}"
    report: dict[str, Any] = json.loads(
        kubectl("exec", "app", "-n", namespace, "--", "/app", "load", url, "--for=300ms")
    )
    return report


def test_a_pod_reaches_a_service_by_its_names(kubectl: Kubectl, running: str) -> None:
    # Its first label alone is the name of the pod, too.
    first, *others = (f"app.{running}{end}" for end in ("", ".svc", ".svc.cluster.local"))
    eventually(lambda: not asked_inside(kubectl, running, first)["errors"], "the Service in kube-proxy")
    for name in (first, *others):
        found = asked_inside(kubectl, running, name)
        assert (found["errors"], found["pods"]) == ({}, ["app"]), name


def test_a_name_that_is_no_service_has_no_address(kubectl: Kubectl, running: str) -> None:
    (error,) = asked_inside(kubectl, running, "absent")["errors"]
    assert "no such host" in error


def test_pods_reach_the_api_server_at_its_service(kubectl: Kubectl, running: str) -> None:
    given = pod("client", "load", "--url=https://10.96.0.1/version", "--for=300ms", SSL_CERT_FILE=AUTHORITY)
    kubectl("apply", "-n", running, "-f", "-", given=given)
    kubectl("wait", "pod/client", "-n", running, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    report = json.loads(kubectl("logs", "client", "-n", running).splitlines()[-1])
    assert report["ok"] == report["sent"] > 0


def test_a_port_of_a_pod_is_forwarded(kubectl: Kubectl, running: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    forward = kubectl.begin("port-forward", "pod/app", ":8080", "-n", running, into=log)
    try:
        eventually(lambda: "Forwarding from" in log.read_text(), "a forwarded port")
        found = re.search(r"127\.0\.0\.1:(\d+)", log.read_text())
        assert found
        with closing(http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)) as connection:
            connection.request("GET", "/")
            assert json.load(connection.getresponse())["pod"] == "app"
    finally:
        forward.kill()
        forward.wait()


def test_system_calls_of_containers_are_filtered(plane: ControlPlane, running: str) -> None:
    assert running
    pids = [line.split()[1] for line in containers_of(plane.folder)]
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
    filtered = [
        "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
        for pid, name in names.items()
        if name == "app"
    ]
    assert filtered
    assert all(filtered)


def test_an_image_that_cannot_be_pulled_is_said_to_be_so(kubectl: Kubectl, running: str) -> None:
    absent = pod("absent", image="registry.keyturn.invalid/none:1")
    kubectl("apply", "-n", running, "-f", "-", given=absent)
    reason = "{.status.containerStatuses[0].state.waiting.reason}"
    shown = ("get", "pod", "absent", "-n", running, f"-ojsonpath={reason}")
    eventually(lambda: kubectl(*shown) in {"ErrImagePull", "ImagePullBackOff"}, "a refused pull", timeout=15)
    kubectl("delete", "pod", "absent", "-n", running, "--timeout=30s")


def test_kwok_writes_nothing_of_the_real_node_and_its_pods(
    kubectl: Kubectl, node: RealNode, running: str
) -> None:
    for what in (("node", node.name), ("pod", "app", "-n", running)):
        shown = kubectl.json("get", *what, "--show-managed-fields")
        managers = {entry["manager"] for entry in shown["metadata"]["managedFields"]}
        assert "kubelet" in managers
        assert not {manager for manager in managers if "kwok" in manager}


def test_pods_of_fake_nodes_still_only_pretend(kubectl: Kubectl, running: str) -> None:
    fake = deployment("fake", replicas=2)
    fake["spec"]["template"]["spec"]["nodeSelector"] = {"sandbox.keyturn.dev/node": "fake"}
    kubectl("apply", "-f", "-", given=fake)
    kubectl("rollout", "status", "deployment/fake", "--timeout=20s")
    real = kubectl.json("get", "pod", "app", "-n", running)["spec"]["nodeName"]
    assert real not in kubectl("get", "pods", "-l", "app=fake", "-o", "wide")


def test_an_archive_that_holds_no_image_is_refused(node: RealNode, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_text("no archive")
    with pytest.raises(SandboxError, match=r"the node cannot take the images of .*image\.tar: "):
        node.import_image(archive)
    with pytest.raises(SandboxError, match=r"there is no image archive .*absent\.tar"):
        node.import_image(tmp_path / "absent.tar")


def test_a_plane_has_one_real_node(plane: ControlPlane) -> None:
    with pytest.raises(SandboxError, match="has a real node already"):
        plane.start_node()


def test_overlayfs_is_used_where_it_can_be_mounted(tmp_path: Path) -> None:
    assert machine.snapshotter(tmp_path) == "overlayfs"
    assert list(tmp_path.iterdir()) == []


def test_containers_are_copied_where_overlayfs_cannot_be_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "bin" / "mount"
    mount.parent.mkdir()
    mount.write_text("#!/bin/sh\nexit 32\n")
    mount.chmod(0o755)
    monkeypatch.setenv("PATH", f"{mount.parent}:/usr/bin:/bin")
    assert machine.snapshotter(tmp_path) == "native"
