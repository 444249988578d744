from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from release import image as images
from sandbox import ControlPlane
from sandbox.harness import Kubectl, installation
from tests.conftest import Cluster
from tests.image.container import Container, Image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """A cluster of this folder's own, where no other operator holds the Lease."""
    with ControlPlane.start() as plane:
        yield Cluster(plane.kubeconfig, plane)


@pytest.fixture(scope="package")
def kubectl(cluster: Cluster) -> Kubectl:
    """kubectl for this cluster, which knows our kinds; the one of all tests is for another cluster."""
    kubectl = Kubectl(cluster.kubeconfig)
    installation.install_crds(kubectl)
    return kubectl


@pytest.fixture(scope="package")
def operator_kubeconfig(cluster: Cluster, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig with exactly the rights that the shipped manifests give."""
    installation.install(kubectl)
    return cluster.account("keyturn-system", "keyturn", tmp_path_factory.mktemp("operator") / "kubeconfig")


@pytest.fixture(scope="session")
def archive() -> Path:
    """The archive of what is checked out; whoever uses it gives its build time: pytest.mark.timeout(SECONDS)."""
    return images.archive()


@pytest.fixture(scope="session")
def image(archive: Path) -> Image:
    return Image.read(archive)


@pytest.fixture(scope="session")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Container:
    return Container.unpack(image, tmp_path_factory.mktemp("root"))
