from __future__ import annotations

from tests.unit.stores.providers.conftest import azure, google, locked, moto, prefix, tested, vault

__all__ = ["azure", "google", "locked", "moto", "prefix", "tested", "vault"]
