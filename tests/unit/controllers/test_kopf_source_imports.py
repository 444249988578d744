"""What an operator does not load, though it is installed and kopf would."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("client", ["kubernetes", "pykube"])
def test_an_operator_loads_no_client_that_it_does_not_log_in_by(client: str) -> None:
    assert client not in loaded("import keyturn.controllers.manager")


def test_a_client_can_be_loaded_later() -> None:
    assert "kubernetes" in loaded("import keyturn.controllers.manager, kubernetes")


def test_a_client_that_was_loaded_before_stays() -> None:
    assert "kubernetes" in loaded("import kubernetes, keyturn.controllers.manager; kubernetes.config")


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(done.stdout.split())
