from __future__ import annotations

import pytest

from keyturn.stores import settings as plan
from keyturn.stores.providers import provider_of
from tests.unit.stores.fake_stores import FakeProvider, FakeStores


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeStores:
    """Stores that a test is about; who runs the test closes them."""
    monkeypatch.setattr(
        plan, "provider_of", lambda kind: FakeProvider if kind == "kept" else provider_of(kind)
    )
    return FakeStores()
