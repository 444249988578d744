"""The cause of a connection that was not established."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest

from keyturn.stores.providers.errors import CERTIFICATES, detail_of
from keyturn.stores.providers.guard import of_connection

CONNECTION: Any = None


def of_certificate(code: int) -> Exception:
    error = ssl.SSLCertVerificationError(1, "issued by canary-3fGh")
    error.verify_code = code
    return aiohttp.ClientConnectorCertificateError(CONNECTION, error)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        pytest.param(10, "expired", id="expired"),
        pytest.param(18, "self-signed", id="self-signed"),
        pytest.param(20, "unknown authority", id="unknown authority"),
        pytest.param(62, "another name", id="other name"),
        pytest.param(99, "caRef", id="another code"),
    ],
)
def test_a_certificate_that_is_not_accepted_has_its_cause_and_no_text_of_the_server(
    code: int, cause: str
) -> None:
    error = of_connection(of_certificate(code), "vault.example")

    assert (error.code in CERTIFICATES, error.host, error.is_lasting) == (True, "vault.example", True)
    assert error.hint == "", "the host of a kubeconfig is confidential, so it is in no hint"
    assert cause in detail_of(error)
    assert "canary" not in detail_of(error)
