"""The pages on installing, walked over as they are written: each way in, from one to another, and out again."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox import ControlPlane
from sandbox.harness import Kubectl, eventually
from tests.conftest import ROOT
from tests.install.helm import BUILD_SECONDS
from tests.install.user import User
from tests.install.walking import Checkout, blocks
from tests.support.objects import Body, Client, Refused, shared_client

pytestmark = pytest.mark.timeout(BUILD_SECONDS)

_FEWER_RIGHTS = (ROOT / "docs" / "install" / "namespaced.md").read_text()
_OPERATOR = "system:serviceaccount:keyturn-system:keyturn"
_RIGHTS, _ADMISSION = "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_INSTALLED = (
    *(f"{_RIGHTS}/{plural}" for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")),
    *(f"{_ADMISSION}/validatingadmission{plural}" for plural in ("policies", "policybindings")),
    "/api/v1/namespaces",
)
_COMPONENTS = (*("components/workload-identity", "components/encryption-proof"), "monitoring/audit")
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
    found = ((path, one["metadata"]["name"]) for path in _INSTALLED for one in client(kubectl).items(path))
    return [f"{path.rpartition('/')[2]}/{name}" for path, name in found if "keyturn" in name]


def await_lists(kubectl: Kubectl) -> None:
    """Wait until all kinds can be listed: Kubernetes retries the end of a CRD that cannot be after minutes only."""
    eventually(
        lambda: all(is_listed(kubectl, crd) for crd in client(kubectl).items(_CRDS)),
        "lists of all kinds",
        instead=lambda: crds(kubectl),
    )


def is_listed(kubectl: Kubectl, crd: Body) -> bool:
    spec = crd["spec"]
    try:
        client(kubectl).count(
            f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        )
    except Refused:
        return False
    return True


def crds(kubectl: Kubectl) -> dict[str, object]:
    """Return the conditions of each CRD by its name."""
    found = client(kubectl).items(_CRDS)
    return {one["metadata"]["name"]: one.get("status", {}).get("conditions") for one in found}


def client(kubectl: Kubectl) -> Client:
    """Ask without kubectl, which takes as long as twenty requests."""
    assert kubectl.kubeconfig
    return shared_client(kubectl.kubeconfig)


def may(kubectl: Kubectl, namespace: str) -> bool:
    return User.of(kubectl, _OPERATOR).may("list", "secrets", namespace)


def gets(kubectl: Kubectl) -> bool:
    """Say whether the operator may read a Secret whose name it knows."""
    return User.of(kubectl, _OPERATOR).may("get", "secrets", "shop")


def test_kustomize_then_helm_then_nothing(kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("kustomize", "Install")
    image = "{.spec.template.spec.containers[0].image}"
    deployed = kubectl("get", "deployment", "keyturn", "-n", "keyturn-system", "-o", f"jsonpath={image}")
    kubectl("apply", "-f", "-", given=_MANAGED)
    put_into_namespace_of_operator(kubectl)
    before = objects_of_users(kubectl)

    checkout.walk("helm", "From Kustomize to Helm")

    assert deployed == "registry.example.com/keyturn:0.1.0"
    assert objects_of_users(kubectl) == before
    assert is_managed_by_helm(kubectl.json("get", "deployment", "keyturn", "-n", "keyturn-system"))
    kubectl("rollout", "status", "deployment/keyturn", "-n", "keyturn-system", "--timeout=90s")
    checkout.walk("uninstall", "2. Remove the operator", block=0)
    kubectl("delete", "namespace", "keyturn-system", "--timeout=60s")
    assert left(kubectl) == []


def put_into_namespace_of_operator(kubectl: Kubectl) -> None:
    """Create credentials of two stores, of which the second belong to another object, and a ManagedSecret."""
    managed = {**_MANAGED, "metadata": {"name": "kept", "namespace": "keyturn-system"}}
    kubectl("apply", "-f", "-", given=managed)
    kubectl("create", "configmap", "owner", "-n", "keyturn-system")
    owner = kubectl.json("get", "configmap", "owner", "-n", "keyturn-system")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    for name, owners in (("vault-login", []), ("aws-login", [reference])):
        metadata = {"name": name, "namespace": "keyturn-system", "ownerReferences": owners}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "stringData": {"token": "of-a-store"},
        }
        kubectl("create", "-f", "-", given=secret)


def objects_of_users(kubectl: Kubectl) -> list[Body]:
    """Return the objects that no installation may change, with their UIDs and versions."""
    named = (
        *(("ms", "kept", "shop"), ("ms", "kept", "keyturn-system")),
        *(("secret", "vault-login", "keyturn-system"), ("secret", "aws-login", "keyturn-system")),
    )
    return [kubectl.json("get", kind, name, "-n", namespace) for kind, name, namespace in named]


def is_managed_by_helm(body: Body) -> bool:
    return bool(body["metadata"]["labels"].get("app.kubernetes.io/managed-by") == "Helm")


def test_helm_as_its_page_says_then_with_fewer_rights_then_nothing(
    kubectl: Kubectl, checkout: Checkout
) -> None:
    checkout.walk("helm", "Install")
    kubectl("apply", "-f", "-", given=_MANAGED)
    before = kubectl.json("get", "ms", "kept", "-n", "shop")
    checkout.walk("helm", "Upgrade")

    upgrade_with(checkout, "Selected namespaces")
    eventually(lambda: not may(kubectl, "default"), "the loss of the right")
    assert may(kubectl, "shop")

    upgrade_with(checkout, "Without listing Secrets")
    eventually(lambda: not may(kubectl, "shop"), "the loss of the right")
    assert gets(kubectl)

    checkout.walk("uninstall", "2. Remove the operator", block=0)
    assert kubectl.json("get", "ms", "kept", "-n", "shop") == before
    kubectl("delete", "namespace", "keyturn-system", "--timeout=60s")
    assert left(kubectl) == []


def test_no_right_of_any_component_stays_and_crds_are_applied_as_typed(
    kubectl: Kubectl, checkout: Checkout
) -> None:
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
    assert {"keyturn-tokens", "keyturn-encryption-proof", "keyturn-view"} <= named

    checkout.walk("uninstall", "2. Remove the operator", block=1)

    assert left(kubectl) == []
    assert "managedsecrets.keyturn.dev" in kubectl("get", "crds", "-o", "name")
    await_lists(kubectl)
    checkout.walk("uninstall", "3. Remove CRDs and objects", block=0)
    assert kubectl("get", "crds", "-o", "name") == ""

    for typed in ("crds/", "crds"):
        checkout.run(f"kubectl apply -f {typed}", "kubectl apply -k crds")
    kinds = list((ROOT / "crds").glob("keyturn.dev_*.yaml"))
    assert len(kubectl("get", "crds", "-o", "name").split()) == len(kinds)


def test_from_the_whole_cluster_to_one_namespace(kubectl: Kubectl, checkout: Checkout) -> None:
    checkout.walk("kustomize", "Install")
    assert "../manifests/overlays/namespaced]` in place of `../manifests/base`" in _FEWER_RIGHTS
    (commands,) = blocks("kustomize", "Install")
    checkout.run(*(one.replace("manifests/base", "manifests/overlays/namespaced") for one in commands))
    assert may(kubectl, "default")  # what the overlay leaves bound

    said = checkout.walk("namespaced", "From the whole cluster to selected namespaces")

    assert said.splitlines()[-1] == "no"
    eventually(lambda: not may(kubectl, "default"), "the loss of the right")
    assert may(kubectl, "shop")
    checkout.walk("uninstall", "2. Remove the operator", block=1)
    assert left(kubectl) == []


def upgrade_with(checkout: Checkout, section: str) -> None:
    """Upgrade with the values that a section of the page on fewer rights sets."""
    text = _FEWER_RIGHTS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    (values,) = re.findall(r"`(--set .*?)`", text)
    image = "--set image.repository=registry.example.com/keyturn"
    checkout.run(f"helm upgrade keyturn dist/charts/keyturn --namespace keyturn-system {image} {values}")
