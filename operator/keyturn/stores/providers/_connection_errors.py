"""Errors of a connection that was not established, each with its cause: DNS, a refusal, or the certificate."""

from __future__ import annotations

import socket
import ssl
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import aiohttp

from .errors import NO_HOST, UNTRUSTED, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["has_no_host", "of_connection"]

# EAI_NODATA is absent from some systems.
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_CA: Final = "set caRef to a ConfigMap with its CA"
# Codes of OpenSSL (X509_V_ERR_…). The issuer's name is text of the server, so no message has it.
_CERTIFICATES: Final[Mapping[int, str]] = MappingProxyType(
    {
        10: "has expired; renew it at the server",
        9: "is not valid yet; check the clocks, or replace it at the server",
        18: f"is self-signed and not trusted; {_CA}",
        19: f"is signed by a root that is not trusted; {_CA}",
        20: f"is signed by an unknown authority; {_CA}, or let the server send its intermediate certificates",
        21: f"is signed by an unknown authority; {_CA}, or let the server send its intermediate certificates",
        62: "is for another name; write the host that the certificate names",
        64: "is for another address; write the host that the certificate names",
    }
)


def has_no_host(error: BaseException) -> bool:
    """Whether DNS answered that a host does not exist; false if DNS itself failed."""
    return isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME


def of_connection(error: Exception, host: str) -> Unreachable:
    """Return the error of a request that got no answer; it has no text of the server."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unreachable(UNTRUSTED, _about_certificate(error.certificate_error, host), host=host)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if has_no_host(cause):
        return Unreachable(NO_HOST, host=host)
    if isinstance(cause, ConnectionRefusedError):
        return Unreachable("ConnectionRefusedError", host=host)
    return Unreachable(type(error).__name__, host=host)


def _about_certificate(error: Exception, host: str) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    flaw = _CERTIFICATES.get(code) if code is not None else None
    return f"the TLS certificate of {host} {flaw}" if flaw else ""
