"""The control plane does what a real one does."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

import yaml

from sandbox.harness import Kubectl
from tests.support.objects import deployment

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import ControlPlane

PASSWORD = "keyturn-canary-7c1f"  # noqa: S105  # it guards nothing


def test_a_job_completes(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "job", "once", "--image=example.org/none", "-n", namespace)
    kubectl("wait", "job/once", "-n", namespace, "--for=condition=Complete", "--timeout=20s")


def test_no_file_of_the_plane_holds_a_secret_in_clear(
    troubled: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("create", "secret", "generic", "some", f"--from-literal=password={PASSWORD}", "-n", namespace)
    kubectl("create", "configmap", "some", "--from-literal=key=keyturn-canary-in-clear", "-n", namespace)
    files = [file.read_bytes() for file in troubled.folder.rglob("*") if file.is_file()]
    assert any(b"keyturn-canary-in-clear" in content for content in files)
    assert not any(PASSWORD.encode() in content for content in files)


def test_a_service_account_kubeconfig_is_for_its_owner_only(
    troubled: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    path = troubled.service_account_kubeconfig(namespace, "default", tmp_path / "kubeconfig")
    assert [file.stat().st_mode & 0o777 for file in (path, troubled.kubeconfig)] == [0o600, 0o600]


def test_pod_security_is_enforced_where_a_namespace_asks(kubectl: Kubectl, namespace: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    refused = kubectl.run("run", "pod", "--image=example.org/none", "-n", namespace)
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_the_serving_certificate_names_the_service(troubled: ControlPlane) -> None:
    port = int(troubled.server.rpartition(":")[2])
    trust = ssl.create_default_context(cafile=troubled.ca_file)
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=trust, timeout=10)
    connection.connect()
    assert connection.sock is not None
    certificate: Any = connection.sock.getpeercert()
    connection.close()
    names = {value for _, value in certificate["subjectAltName"]}
    assert {"kubernetes.default.svc", "10.96.0.1", "127.0.0.1"} <= names


def test_the_kubeconfig_needs_no_other_file(troubled: ControlPlane) -> None:
    content = yaml.safe_load(troubled.kubeconfig.read_text())
    assert sorted(content["users"][0]["user"]) == ["client-certificate-data", "client-key-data"]


def test_what_was_stored_survives_a_restart_of_the_api_server(
    troubled: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("create", "configmap", "kept", "-n", namespace)
    server = troubled.server
    troubled.stop_apiserver()
    refused = kubectl.run("get", "configmap", "kept", "-n", namespace)
    troubled.start_apiserver()
    assert "refused" in refused.stderr
    kubectl("get", "configmap", "kept", "-n", namespace)
    assert troubled.server == server


def test_a_watch_from_before_a_gap_must_start_again(
    troubled: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("create", "configmap", "gone", "-n", namespace)
    listed = json.loads(kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/configmaps"))
    observed = listed["metadata"]["resourceVersion"]
    with troubled.watch_gap() as kubeconfig:
        Kubectl(kubeconfig)("delete", "configmap", "gone", "-n", namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1&timeoutSeconds=1&resourceVersion={observed}"
    event = json.loads(kubectl("get", "--raw", path))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert kubectl.run("get", "configmap", "gone", "-n", namespace).returncode != 0


def test_a_list_from_before_a_gap_cannot_be_continued(
    troubled: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    for name in ("one", "two", "three"):
        kubectl("create", "configmap", name, "-n", namespace)
    path = f"/api/v1/namespaces/{namespace}/configmaps?limit=1"
    token = json.loads(kubectl("get", "--raw", path))["metadata"]["continue"]
    with troubled.watch_gap():
        pass
    assert "Expired" in kubectl.run("get", "--raw", f"{path}&continue={token}").stderr


def test_controllers_work_soon_after_the_api_server_is_back(
    troubled: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    troubled.stop_apiserver()
    time.sleep(8)  # long enough for their pauses between attempts to grow
    troubled.start_apiserver()
    kubectl("apply", "-n", namespace, "-f", "-", given=deployment("web"))
    kubectl(
        "rollout", "status", "deployment/web", "-n", namespace, "--timeout=20s"
    )  # a pause takes up to 30 s
