from collections.abc import Iterator

import pytest
import trustme

from keyturn.stores import settings as plan
from keyturn.stores.providers import provider_of
from tests.unit.stores.fake_stores import FakeProvider, FakeStores


@pytest.fixture(scope="module", autouse=True)
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority instead of the system's: to read those takes each client context 0.04 s of processor."""
    folder = tmp_path_factory.mktemp("authority")
    trustme.CA().cert_pem.write_to_path(str(folder / "ca.crt"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.crt"))
        yield


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeStores:
    """Stores that a test is about; who runs the test closes them."""
    monkeypatch.setattr(
        plan, "provider_of", lambda kind: FakeProvider if kind == "kept" else provider_of(kind)
    )
    return FakeStores()
