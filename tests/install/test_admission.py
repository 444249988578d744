"""That the manifests are admitted as they are, and do what they promise."""

from typing import Any

import pytest
import yaml

from sandbox.harness import Kubectl, eventually
from tests.install.installation import BASE, Installation

_HERE = ("-n", "keyturn-system")


@pytest.fixture(params=["cluster_wide", "namespaced"])
def installation(request: pytest.FixtureRequest) -> Installation:
    installed: Installation = request.getfixturevalue(request.param)
    return installed


@pytest.fixture
def running(cluster_wide: Installation) -> Kubectl:
    """kubectl for a cluster on which the pods are ready."""
    cluster_wide.kubectl("rollout", "status", "deployment/keyturn", *_HERE, "--timeout=60s")
    return cluster_wide.kubectl


def test_nothing_is_warned_of(installation: Installation) -> None:
    assert installation.warnings == ""


def test_its_pods_are_admitted_where_restricted_is_enforced(installation: Installation) -> None:
    kubectl = installation.kubectl
    kubectl("rollout", "status", "deployment/keyturn", *_HERE, "--timeout=60s")

    labels = kubectl.json("get", "namespace", "keyturn-system")["metadata"]["labels"]
    deployment = kubectl.json("get", "deployment", "keyturn", *_HERE)
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert deployment["status"]["readyReplicas"] == 2


def test_a_second_apply_changes_nothing(installation: Installation) -> None:
    compared = installation.kubectl.run("diff", "-k", str(installation.folder))

    assert (compared.returncode, compared.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("cluster_wide", ["run", "--all-namespaces"]), ("namespaced", ["run", "--namespace", "shop"])],
)
def test_it_looks_where_it_has_rights(
    name: str, arguments: list[str], request: pytest.FixtureRequest
) -> None:
    kubectl = request.getfixturevalue(name).kubectl
    deployment = kubectl.json("get", "deployment", "keyturn", *_HERE)

    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == arguments


def test_a_drain_may_take_one_replica(running: Kubectl) -> None:
    def allowed() -> int:
        status: dict[str, int] = running.json("get", "pdb", "keyturn", *_HERE)["status"]
        return status["disruptionsAllowed"]

    eventually(lambda: allowed() == 1)


def test_the_service_finds_both_replicas(running: Kubectl) -> None:
    def ready() -> list[Any]:
        selector = "kubernetes.io/service-name=keyturn-metrics"
        slices = running.json("get", "endpointslices", *_HERE, "-l", selector)["items"]
        return [endpoint for found in slices for endpoint in found["endpoints"] or []]

    eventually(lambda: len(ready()) == 2)


def test_the_network_policy_lets_in_what_the_container_serves() -> None:
    deployment, policy = (
        yaml.load((BASE / "operator" / name).read_text(), Loader=yaml.CSafeLoader)["spec"]
        for name in ("deployment.yaml", "networkpolicy.yaml")
    )
    (container,) = deployment["template"]["spec"]["containers"]
    served = {port["containerPort"] for port in container["ports"]}
    let_in = {port["port"] for ingress in policy["ingress"] for port in ingress["ports"]}
    assert let_in == served == {8080, 8081}
    assert policy["podSelector"] == deployment["selector"]
