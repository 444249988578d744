from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.space import Space
from tests.support.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Cluster
    from tests.support.kubectl import Kubectl
    from tests.support.operator import Operator


@pytest.fixture(scope="session")
def objects(cluster: Cluster, kubectl: Kubectl) -> Iterator[Objects]:
    """Every object of the cluster, with all rights; the kinds are known."""
    del kubectl
    with Objects.of(cluster.kubeconfig) as objects:
        yield objects


@pytest.fixture
def space(objects: Objects, namespace: str, operator: Operator) -> Iterator[Space]:
    """A namespace of the test's own that the operator serves; whatever happens in it, the operator lives."""
    yield Space(objects, namespace)
    assert operator.returncode is None
