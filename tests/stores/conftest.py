from __future__ import annotations

import pytest

from keyturn.providers import provider_of
from keyturn.stores import plan
from tests.stores.town import Kept, Town


@pytest.fixture
def town(monkeypatch: pytest.MonkeyPatch) -> Town:
    """Stores that a test is about; who runs the test closes them."""
    monkeypatch.setattr(plan, "provider_of", lambda kind: Kept if kind == "kept" else provider_of(kind))
    return Town()
