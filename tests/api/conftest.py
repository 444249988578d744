from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox import ControlPlane
from tests.api.objects import Objects
from tests.support.kubectl import Kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

CRDS = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def cluster() -> Iterator[ControlPlane]:
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture(scope="session")
def kubectl(cluster: ControlPlane) -> Kubectl:
    """kubectl for a cluster that knows our kinds."""
    kubectl = Kubectl(cluster.kubeconfig)
    kubectl("apply", "-k", str(CRDS))
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
    return kubectl


@pytest.fixture(scope="session")
def namespace(kubectl: Kubectl) -> str:
    name = f"api-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    return name


@pytest.fixture(scope="session")
def objects(kubectl: Kubectl, cluster: ControlPlane, namespace: str) -> Objects:
    del kubectl  # asked for so that the kinds are known
    return Objects.of(cluster.kubeconfig, namespace)
