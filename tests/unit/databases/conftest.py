from collections.abc import Iterator

import pytest

from keyturn.databases import settings
from tests.unit.databases.fake_targets import FakeEngine, FakeTargets


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTargets]:
    """A target with its Secret, and a server that answers."""
    FakeEngine.reset()
    monkeypatch.setattr(settings, "engine_for", lambda _: FakeEngine)
    fake = FakeTargets()
    fake.target()
    fake.secret(username="keyturn", password="canary")  # noqa: S106
    yield fake
    FakeEngine.reset()
