from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """A namespace of the test's own that the operator serves; nothing that happens in it makes it stumble."""
    yield Space(objects, namespace)
    assert operator.returncode is None
    assert not [line for line in operator.lines() if _is_stumble(line, namespace)]


def _is_stumble(line: dict[str, Any], namespace: str) -> bool:
    """Say whether a line of the log tells of an error that nobody had thought of."""
    return line.get("event") == "work failed" and str(line.get("key")).startswith(f"{namespace}/")
