"""A control plane keeps secrets to itself, forgets what was before a gap, and is of the chosen release."""

import json
from pathlib import Path

from sandbox import ControlPlane, build
from sandbox.harness import Kubectl

PASSWORD = "keyturn-canary-7c1f"  # noqa: S105  # it guards nothing


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


def test_the_api_server_forgets_what_was_before_a_gap(
    troubled: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name in ("gone", "kept"):
        kubectl("create", "configmap", name, "-n", namespace)
    listed = json.loads(kubectl("get", "--raw", f"{path}?limit=1"))["metadata"]

    with troubled.watch_gap() as kubeconfig:
        Kubectl(kubeconfig)("delete", "configmap", "gone", "-n", namespace)

    watch = f"{path}?watch=1&timeoutSeconds=1&resourceVersion={listed['resourceVersion']}"
    event = json.loads(kubectl("get", "--raw", watch))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert "Expired" in kubectl.run("get", "--raw", f"{path}?limit=1&continue={listed['continue']}").stderr
    assert kubectl.run("get", "configmap", "gone", "-n", namespace).returncode != 0


def test_a_plane_is_of_the_chosen_release(kubectl: Kubectl) -> None:
    server = kubectl.json("version")["serverVersion"]

    assert server["gitVersion"] == build.chosen().version
    assert f"{server['major']}.{server['minor']}" == build.chosen().name
