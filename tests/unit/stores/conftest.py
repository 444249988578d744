from __future__ import annotations

import pytest

from keyturn.stores import settings as plan
from keyturn.stores.providers import provider_of
from tests.unit.stores.fake_stores import Kept, Town


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch) -> Town:
    """Stores that a test is about; who runs the test closes them."""
    monkeypatch.setattr(plan, "provider_of", lambda kind: Kept if kind == "kept" else provider_of(kind))
    return Town()
