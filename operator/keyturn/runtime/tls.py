"""TLS contexts, and limits of certificates and keys; no other module creates contexts.

A handshake is computed in the event loop with parameters of the peer or of a tenant, so its cost is bounded: no
finite-field Diffie-Hellman, whose group the peer chooses (0.2 s for 8192 bits), few authorities, no RSA key larger
than 8192 bits, and none whose parts do not fit: two factors of 12,000 bits with a modulus of 2,048 bits take a
minute.
"""

from __future__ import annotations

import math
import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers

_CURVE: Final = "prime256v1"
"""P-256, which every TLS 1.3 server must support (RFC 8446, section 9.1).

OpenSSL's default also offers finite-field groups of up to 8192 bits, any of which a server may select, and before
Python 3.15 only a single curve can be set.
"""

MOST_CERTIFICATES: Final = 10
"""Maximum of certificates in one bundle: a chain and its roots, or the authorities of a server."""
LARGEST_BUNDLE: Final = 64 * 1024
"""Maximum bytes of a bundle of certificates."""
LARGEST_KEY: Final = 16 * 1024
"""Maximum bytes of a key as text; an RSA key of 8192 bits takes less than half."""
LARGEST_RSA: Final = 8192
"""Maximum bits of an RSA key; a signature with eight times as many takes minutes."""

_CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""Python's default ciphers without DHE."""
_CHECKS: Final = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
"""Checks of a server's chain, the same in each Python.

Python 3.13 adds VERIFY_X509_STRICT, which requires key identifiers and key usages. The authorities of many clusters
and companies lack them, and no other client requires them. An intermediate authority can be trusted, as in Go.
"""
NOTHING_IN_COMMON: Final = frozenset(
    {"SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY", "WRONG_CURVE"}
)
"""OpenSSL's names of the alerts of a server that does not accept the curve, or has a certificate on another one."""
_BEGIN: Final = b"-----BEGIN "


def client_context(authorities: bytes | None = None) -> ssl.SSLContext:
    """Return a client context that trusts the authorities of a PEM bundle; for None, those of the system.

    Raises:
        ValueError: The bundle has no certificates, or more than allowed.
        ssl.SSLError: They cannot be parsed.
    """
    if authorities is not None and not is_bounded(authorities):
        raise ValueError("too large")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it requires a certificate with the host's name
    context.set_ciphers(_CIPHERS)
    context.set_ecdh_curve(_CURVE)
    context.verify_flags = _CHECKS
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=authorities.decode("ascii"))
    return context


def cluster_context(file: str | None) -> ssl.SSLContext:
    """Return a client context for the cluster's API server, which is trusted more: all default curves are offered."""
    context = ssl.create_default_context(cafile=file)
    context.set_ciphers(_CIPHERS)
    context.verify_flags = _CHECKS
    return context


def server_context() -> ssl.SSLContext:
    """Return a server context without its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_ecdh_curve(_CURVE)
    return context


def is_bounded(bundle: bytes) -> bool:
    """Whether a bundle is within the limits of size and number."""
    return len(bundle) <= LARGEST_BUNDLE and bundle.count(_BEGIN) <= MOST_CERTIFICATES


def belong_together(numbers: RSAPrivateNumbers) -> bool:
    """Whether the parts are consistent with each other (RFC 8017, section 3.2); primality is not checked."""
    p, q, d, public = numbers.p, numbers.q, numbers.d, numbers.public_numbers
    return (
        min(p, q) > 1
        and p * q == public.n
        and public.n % 2 == 1
        and public.e * d % math.lcm(p - 1, q - 1) == 1
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )
