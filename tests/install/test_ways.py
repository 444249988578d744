"""The pages on installing, walked over as they are written: each way in, from one to another, and out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually
from tests.conftest import ROOT
from tests.install.helm import BUILD_SECONDS
from tests.install.walking import Checkout, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_OPERATOR = "--as=system:serviceaccount:keyturn-system:keyturn"
_CLUSTER_WIDE = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
)
_COMPONENTS = (
    *("components/workload-identity", "components/ui-https", "components/encryption-proof"),
    "monitoring/audit",
)
_MANAGED = {
    "apiVersion": "keyturn.dev/v1alpha1",
    "kind": "ManagedSecret",
    "metadata": {"name": "kept", "namespace": "shop"},
    "spec": {"data": [{"name": "token", "generate": {"bytes": {}}}]},
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane.start() as plane:
        Kubectl(plane.kubeconfig)("create", "namespace", "shop")
        yield plane


@pytest.fixture
def kubectl(plane: ControlPlane) -> Iterator[Kubectl]:
    """kubectl for a cluster without Keyturn, from which the test takes it away again."""
    kubectl = Kubectl(plane.kubeconfig)
    assert left(kubectl) == []
    yield kubectl
    await_lists(kubectl)
    kubectl("delete", "crds", "--all", "--wait=false")
    eventually(lambda: not crds(kubectl), "the end of the CRDs", timeout=150, instead=lambda: crds(kubectl))


@pytest.fixture
def checkout(plane: ControlPlane, tmp_path: Path) -> Checkout:
    return Checkout.of(tmp_path, plane.kubeconfig)


def left(kubectl: Kubectl) -> list[str]:
    """Name what is there of an installation, but for the CRDs and the objects of users."""
    wide = kubectl("get", _CLUSTER_WIDE, "-o", "name").split()
    rights = kubectl("get", "roles,rolebindings", "-A", "-o", "name").split()
    namespace = kubectl("get", "namespace", "keyturn-system", "--ignore-not-found", "-o", "name").split()
    return [name for name in (*wide, *rights, *namespace) if "keyturn" in name]


def await_lists(kubectl: Kubectl) -> None:
    """Wait until all kinds can be listed: Kubernetes retries the end of a CRD that cannot be after minutes only."""
    eventually(
        lambda: all(is_listed(kubectl, name) for name in crds(kubectl)),
        "lists of all kinds",
        instead=lambda: crds(kubectl),
    )


def is_listed(kubectl: Kubectl, crd: str) -> bool:
    return kubectl.run("get", crd, "--all-namespaces").returncode == 0


def crds(kubectl: Kubectl) -> dict[str, object]:
    """Return the conditions of each CRD by its name."""
    found = kubectl.json("get", "crds")["items"]
    return {one["metadata"]["name"]: one.get("status", {}).get("conditions") for one in found}


def may(kubectl: Kubectl, namespace: str) -> bool:
    done = kubectl.run("auth", "can-i", "list", "secrets", _OPERATOR, "-n", namespace)
    return done.stdout.strip() == "yes"


def gets(kubectl: Kubectl) -> bool:
    """Say whether the operator may read a Secret whose name it knows."""
    done = kubectl.run("auth", "can-i", "get", "secrets", _OPERATOR, "-n", "shop")
    return done.stdout.strip() == "yes"


def test_kustomize_then_helm_then_nothing(kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("kustomize", "Install")
    image = "{.spec.template.spec.containers[0].image}"
    deployed = kubectl("get", "deployment", "keyturn", "-n", "keyturn-system", "-o", f"jsonpath={image}")
    kubectl("apply", "-f", "-", given=_MANAGED)
    before = kubectl.json("get", "ms", "kept", "-n", "shop")

    checkout.walk("helm", "From Kustomize to Helm")

    assert deployed == "registry.example.com/keyturn:0.1.0"
    assert kubectl.json("get", "ms", "kept", "-n", "shop") == before
    kubectl("rollout", "status", "deployment/keyturn", "-n", "keyturn-system", "--timeout=90s")
    checkout.walk("uninstall", "2. Remove the operator", block=0)
    kubectl("delete", "namespace", "keyturn-system", "--timeout=60s")
    assert left(kubectl) == []


def test_helm_as_its_page_says(kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("helm", "Install")
    kubectl("apply", "-f", "-", given=_MANAGED)
    before = kubectl.json("get", "ms", "kept", "-n", "shop")

    checkout.walk("helm", "Upgrade")
    checkout.walk("helm", "Uninstall")

    assert kubectl.json("get", "ms", "kept", "-n", "shop") == before
    kubectl("delete", "namespace", "keyturn-system", "--timeout=60s")
    assert left(kubectl) == []


def test_no_right_of_any_component_stays_when_it_is_uninstalled(kubectl: Kubectl, checkout: Checkout) -> None:
    folder = checkout.folder / "deploy"
    folder.mkdir()
    components = [f"../manifests/{name}" for name in _COMPONENTS]
    body = {
        "resources": ["../manifests/base", "../manifests/overlays/namespaced/shop"],
        "components": components,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(body))
    checkout.run("kubectl apply -k deploy")
    named = {name.rpartition("/")[2] for name in left(kubectl)}
    assert {"keyturn-tokens", "keyturn-ui", "keyturn-encryption-proof", "keyturn-view"} <= named

    checkout.walk("uninstall", "2. Remove the operator", block=1)

    assert left(kubectl) == []
    assert "managedsecrets.keyturn.dev" in kubectl("get", "crds", "-o", "name")
    await_lists(kubectl)
    checkout.walk("uninstall", "3. Remove CRDs and objects", block=0)
    assert kubectl("get", "crds", "-o", "name") == ""


def test_from_the_whole_cluster_to_one_namespace(kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("kustomize", "Install")
    checkout.walk("namespaced", "With Kustomize")
    assert may(kubectl, "default")  # what the overlay leaves bound

    said = checkout.walk("namespaced", "From the whole cluster to selected namespaces")

    assert said.splitlines()[-1] == "no"
    eventually(lambda: not may(kubectl, "default"), "the loss of the right")
    assert may(kubectl, "shop")
    checkout.walk("uninstall", "2. Remove the operator", block=1)
    assert left(kubectl) == []


def test_without_the_right_to_list_secrets(kubectl: Kubectl, checkout: Checkout) -> None:
    said = checkout.walk("no-list", "With Kustomize")

    assert said.splitlines()[-1] == "no"
    eventually(lambda: gets(kubectl), "the right that is left")
    assert not may(kubectl, "shop")
    checkout.walk("uninstall", "2. Remove the operator", block=1)
    assert left(kubectl) == []


def test_helm_takes_the_right_to_list_secrets_away(kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("helm", "Install")
    (command,) = blocks("no-list", "With Helm")[0]

    checkout.run(command.replace("helm install", "helm upgrade").replace("--create-namespace", ""))

    eventually(lambda: not may(kubectl, "shop"), "the loss of the right")
    assert gets(kubectl)
    checkout.walk("helm", "Uninstall")
    kubectl("delete", "namespace", "keyturn-system", "--timeout=60s")
    assert left(kubectl) == []


def test_helm_takes_the_rights_on_the_whole_cluster_away(kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("helm", "Install")
    (command,) = blocks("namespaced", "With Helm")[0]

    checkout.run(command.replace("helm install", "helm upgrade").replace("--create-namespace", ""))

    eventually(lambda: not may(kubectl, "default"), "the loss of the right")
    assert may(kubectl, "shop")
    checkout.walk("helm", "Uninstall")
    kubectl("delete", "namespace", "keyturn-system", "--timeout=60s")
    assert left(kubectl) == []


@pytest.mark.parametrize("folder", ["crds/", "crds"])
def test_the_crds_are_applied_as_it_is_typed(folder: str, kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("kustomize", "CRDs only")
    checkout.run(f"kubectl apply -f {folder}", "kubectl apply -k crds")

    kinds = list((ROOT / "crds").glob("keyturn.dev_*.yaml"))
    assert len(kubectl("get", "crds", "-o", "name").split()) == len(kinds)
