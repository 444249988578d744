from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from sandbox.harness import Kubectl
from tests.support.objects import shared

if TYPE_CHECKING:
    from sandbox import ControlPlane

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
