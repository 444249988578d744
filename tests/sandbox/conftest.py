import os
import secrets

import pytest

from sandbox import ControlPlane
from sandbox.harness import Kubectl
from tests.support.objects import shared

if os.geteuid() != 0:
    collect_ignore = ["test_real_node_ends.py"]  # a real node needs root


@pytest.fixture
def kubectl(troubled: ControlPlane) -> Kubectl:
    return Kubectl(troubled.kubeconfig)


@pytest.fixture
def namespace(troubled: ControlPlane) -> str:
    """A namespace of the test's own, ready for pods."""
    name = f"test-{secrets.token_hex(4)}"
    shared(troubled.kubeconfig).create_namespace(name)
    return name
