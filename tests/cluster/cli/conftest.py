from pathlib import Path

import pytest

from sandbox.harness import Kubectl
from tests.conftest import ROOT, Cluster
from tests.support.console import Console
from tests.support.objects import shared


@pytest.fixture
def console(cluster: Cluster, namespace: str) -> Console:
    """The command line of somebody who may do everything."""
    return Console(cluster.kubeconfig, namespace)


@pytest.fixture(scope="session")
def rights(kubectl: Kubectl) -> None:
    """The rights that manifests/base gives to people."""
    kubectl("apply", "-k", str(ROOT / "manifests" / "base" / "users"))


@pytest.fixture
def viewer(cluster: Cluster, namespace: str, rights: None, tmp_path: Path) -> Console:
    """The command line of somebody who may view the namespace, and so read no Secret."""
    del rights
    return _somebody("view", cluster, namespace, tmp_path)


@pytest.fixture
def editor(cluster: Cluster, namespace: str, rights: None, tmp_path: Path) -> Console:
    """The command line of somebody who may edit the namespace."""
    del rights
    return _somebody("edit", cluster, namespace, tmp_path)


def _somebody(role: str, cluster: Cluster, namespace: str, folder: Path) -> Console:
    name, objects = f"somebody-who-may-{role}", shared(cluster.kubeconfig)
    objects.create(namespace, {"kind": "ServiceAccount", "metadata": {"name": name}})
    binding = {
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    objects.create(namespace, binding)
    return Console(cluster.account(namespace, name, folder / f"{role}.kubeconfig"), namespace)
