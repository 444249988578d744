from tests.unit.stores.conftest import one_authority
from tests.unit.stores.providers.conftest import azure, google, locked, moto, prefix, tested, vault

__all__ = ["azure", "google", "locked", "moto", "one_authority", "prefix", "tested", "vault"]
