from collections.abc import Iterator

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl
from tests.install.installation import BASE, NAMESPACED, Installation


@pytest.fixture(scope="package")
def cluster_wide() -> Iterator[Installation]:
    """Keyturn for the whole of a cluster of its own."""
    with ControlPlane.start() as plane:
        yield Installation.of(BASE, Kubectl(plane.kubeconfig))


@pytest.fixture(scope="package")
def namespaced_plane() -> Iterator[ControlPlane]:
    """The cluster that has Keyturn in the namespace shop only."""
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture(scope="package")
def namespaced(namespaced_plane: ControlPlane) -> Installation:
    """Keyturn for the namespace shop of a cluster of its own."""
    return Installation.of(NAMESPACED, Kubectl(namespaced_plane.kubeconfig))
