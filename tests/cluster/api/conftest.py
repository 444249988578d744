from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.api.objects import Objects
from tests.support.kubectl import Kubectl

if TYPE_CHECKING:
    from sandbox import ControlPlane

CRDS = Path(__file__).parents[3] / "crds"


@pytest.fixture(scope="session")
def kubectl(troubled: ControlPlane) -> Kubectl:
    """kubectl for a cluster that knows our kinds, and where no operator writes a status."""
    kubectl = Kubectl(troubled.kubeconfig)
    kubectl("apply", "-f", str(CRDS))
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
    return kubectl


@pytest.fixture(scope="session")
def namespace(kubectl: Kubectl) -> str:
    name = f"api-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    return name


@pytest.fixture(scope="session")
def objects(kubectl: Kubectl, troubled: ControlPlane, namespace: str) -> Objects:
    del kubectl  # asked for so that the kinds are known
    return Objects.of(troubled.kubeconfig, namespace)
