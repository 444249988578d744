import secrets
from pathlib import Path

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl, installation
from tests.cluster.api.objects import Objects

CRDS = Path(__file__).parents[3] / "crds"


@pytest.fixture(scope="session")
def kubectl(troubled: ControlPlane) -> Kubectl:
    """kubectl for a cluster that knows our kinds, and where no operator writes a status."""
    kubectl = Kubectl(troubled.kubeconfig)
    kubectl("apply", "-f", str(CRDS))
    installation.wait_for_crds(kubectl)
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
