"""The tests run on the cluster of the current context as well, without what only the sandbox can be asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import ControlPlane

_ROOT = Path(__file__).parents[2]
_TESTS = (
    "tests/cluster/controllers/managedsecret/test_creation.py::test_a_managed_secret_becomes_a_secret_with_every_key",
    # It asks the API server's own record.
    "tests/gitops/test_apply.py::test_the_same_manifests_applied_again_and_again_cause_no_write",
)


@pytest.mark.timeout(280)
def test_tests_run_on_the_cluster_of_the_current_context() -> None:
    with ControlPlane.start() as plane:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--cluster=current", "-p", "no:cacheprovider", "-q", *_TESTS],
            cwd=_ROOT,
            env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
            check=False,
            capture_output=True,
            text=True,
            timeout=250,
        )

    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 deselected" in done.stdout
