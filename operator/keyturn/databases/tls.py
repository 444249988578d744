"""Which authorities a connection trusts, and what it means that one was not opened."""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import Final

from .addresses import Place
from .errors import Unreachable

_NAME_DIFFERS: Final = 62
"""X509_V_ERR_HOSTNAME_MISMATCH; 64 for an address."""
_ADDRESS_DIFFERS: Final = 64


@lru_cache(maxsize=64)
def trust(ca: bytes | None) -> ssl.SSLContext:
    """Return the trust in some authorities; those of the system take tens of milliseconds to read.

    Raises:
        Unreachable: The authorities cannot be read.
    """
    try:
        context = ssl.create_default_context(cadata=ca.decode("ascii") if ca else None)
    except (ssl.SSLError, ValueError):
        context = None
    if context is None:
        raise Unreachable(
            "CertificateAuthorityUnreadable",
            "the CA cannot be read; write its certificates in PEM into the key that tls.caRef names",
        )
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def not_opened(place: Place, cause: BaseException | None) -> Unreachable:
    """Return the error of a connection that the network or TLS did not let begin."""
    match cause:
        case ssl.SSLCertVerificationError(verify_code=code) if code in {_NAME_DIFFERS, _ADDRESS_DIFFERS}:
            message = f"the TLS certificate of {place} is for another name; write the host that the certificate names"
            return Unreachable("CertificateOtherName", message)
        case ssl.SSLCertVerificationError():
            message = (
                f"the TLS certificate of {place} is not trusted or not valid now; set tls.caRef to its CA"
            )
            return Unreachable("CertificateNotTrusted", message)
        case ssl.SSLError() | ConnectionResetError() | asyncio.IncompleteReadError():
            message = (
                f"{place} and Keyturn cannot agree on TLS; check the port, and permit TLS 1.2 or later there"
            )
            return Unreachable("TlsFailed", message)
        case ConnectionRefusedError():
            message = f"{place} refuses the connection; check the port and the server"
            return Unreachable("ConnectionRefused", message)
        case _:
            return Unreachable("NoAnswer", f"no answer from {place}")
