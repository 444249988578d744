from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keyturn.kube import config
from keyturn.kube.client import Api
from keyturn.kube.session import SessionTransport, open_session
from sandbox import ControlPlane
from sandbox.harness import Kubectl, installation
from tests.conftest import ROOT, Cluster


@pytest.fixture(scope="package")
def own_plane() -> Iterator[Cluster]:
    """A control plane whose CRDs and rights these tests take away and give back."""
    with ControlPlane.start() as plane:
        yield Cluster(plane.kubeconfig, plane)


@pytest.fixture(scope="package")
def installed(own_plane: Cluster) -> Kubectl:
    """kubectl for that plane, with Keyturn installed and no pod of it."""
    kubectl = Kubectl(own_plane.kubeconfig)
    kubectl("apply", "-k", str(ROOT / "manifests" / "overlays" / "checkout"))
    installation.wait_for_crds(kubectl)
    return kubectl


@pytest.fixture(scope="package")
def account(own_plane: Cluster, installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with the rights of the operator."""
    del installed
    return own_plane.account("keyturn-system", "keyturn", tmp_path_factory.mktemp("account") / "kubeconfig")


@pytest.fixture
async def admin(own_plane: Cluster) -> AsyncIterator[Api]:
    connection = await config.load(str(own_plane.kubeconfig))
    async with open_session(connection) as session:
        yield Api(SessionTransport(session), connection.server)
