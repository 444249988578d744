"""Errors of a connection that was not established, each with its cause: DNS, a refusal, or the certificate."""

from __future__ import annotations

import ssl
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import aiohttp

from keyturn.runtime.dns import has_no_host

from .errors import NO_HOST, UNTRUSTED, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

# Codes of OpenSSL (X509_V_ERR_…).
_CERTIFICATES: Final[Mapping[int, str]] = MappingProxyType(
    {
        9: "CertificateNotYetValid",
        10: "CertificateExpired",
        18: "CertificateSelfSigned",
        19: "CertificateUnknownAuthority",
        20: "CertificateUnknownAuthority",
        21: "CertificateUnknownAuthority",
        62: "CertificateOtherName",
        64: "CertificateOtherName",
    }
)


def of_connection(error: Exception, host: str) -> Unreachable:
    """Return the error of a request that got no answer; it has no text of the server."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unreachable(_code_of(error.certificate_error), host=host)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if has_no_host(cause):
        return Unreachable(NO_HOST, host=host)
    if isinstance(cause, ConnectionRefusedError):
        return Unreachable("ConnectionRefusedError", host=host)
    return Unreachable(type(error).__name__, host=host)


def _code_of(error: Exception) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    return _CERTIFICATES.get(code, UNTRUSTED)
