"""How long a worker waits for a background job: in tests for long, so that a busy machine makes no job look slow."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def patient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("keyturn.controllers.context._WORKER_WAIT", 10.0)
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what hangs as long as the operator does."""
    monkeypatch.setattr("keyturn.controllers.context._WORKER_WAIT", 0.1)
