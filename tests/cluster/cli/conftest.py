from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.support.console import Console

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.harness import Kubectl
    from tests.conftest import Cluster


@pytest.fixture
def console(cluster: Cluster, namespace: str) -> Console:
    """The command line of somebody who may do everything."""
    return Console(cluster.kubeconfig, namespace)


@pytest.fixture(scope="session")
def rights(kubectl: Kubectl) -> None:
    """The rights that manifests/base gives to people."""
    kubectl("apply", "-k", str(ROOT / "manifests" / "base" / "users"))


@pytest.fixture
def viewer(cluster: Cluster, namespace: str, kubectl: Kubectl, rights: None, tmp_path: Path) -> Console:
    """The command line of somebody who may view the namespace, and so read no Secret."""
    del rights
    return _somebody("view", cluster, namespace, kubectl, tmp_path)


@pytest.fixture
def editor(cluster: Cluster, namespace: str, kubectl: Kubectl, rights: None, tmp_path: Path) -> Console:
    """The command line of somebody who may edit the namespace."""
    del rights
    return _somebody("edit", cluster, namespace, kubectl, tmp_path)


def _somebody(role: str, cluster: Cluster, namespace: str, kubectl: Kubectl, folder: Path) -> Console:
    name = f"somebody-who-may-{role}"
    kubectl("create", "serviceaccount", name, "-n", namespace)
    who = f"--serviceaccount={namespace}:{name}"
    kubectl("create", "rolebinding", name, f"--clusterrole={role}", who, "-n", namespace)
    return Console(cluster.account(namespace, name, folder / f"{role}.kubeconfig"), namespace)
