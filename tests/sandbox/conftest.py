from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from sandbox import ControlPlane
from tests.support.kubectl import Kubectl, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def shared() -> Iterator[ControlPlane]:
    """A control plane that tests of this folder share and leave running."""
    with ControlPlane.start() as plane:
        yield plane


@pytest.fixture
def kubectl(shared: ControlPlane) -> Kubectl:
    return Kubectl(shared.kubeconfig)


@pytest.fixture
def namespace(kubectl: Kubectl) -> str:
    """A namespace of the test's own, ready for pods."""
    name = f"test-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    eventually(lambda: kubectl.run("get", "serviceaccount", "default", "-n", name).returncode == 0)
    return name
