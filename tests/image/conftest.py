from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox import ControlPlane
from tests.conftest import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster of this folder's own, where no other operator holds the Lease."""
    with ControlPlane.start() as plane:
        yield Cluster(plane.kubeconfig, plane)
