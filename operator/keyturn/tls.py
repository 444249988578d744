"""How TLS is spoken, and how much of certificates and keys is read: the one place that makes contexts.

A handshake is reckoned in the event loop, with what the other side or a tenant chose. So what it can cost is bounded:
no Diffie-Hellman in finite fields, whose group the other side chooses (0.2 s for 8192 bits), few authorities, and no
RSA key larger than any that is made here.
"""

from __future__ import annotations

import ssl
from typing import Final

__all__ = [
    "LARGEST_BUNDLE",
    "LARGEST_KEY",
    "LARGEST_RSA",
    "MOST_CERTIFICATES",
    "client_context",
    "cluster_context",
    "is_bounded",
    "server_context",
]

MOST_CERTIFICATES: Final = 10
"""In one bundle: a chain and its roots, or the authorities of a server."""
LARGEST_BUNDLE: Final = 64 * 1024
"""Bytes of a bundle of certificates."""
LARGEST_KEY: Final = 16 * 1024
"""Bytes of a key as text; one of RSA with 8192 bits takes less than half of it."""
LARGEST_RSA: Final = 8192
"""Bits of an RSA key: one signature with eight times as many takes minutes."""

_CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""What Python offers, without DHE."""
_CURVE: Final = "prime256v1"
"""P-256, which every server of TLS 1.3 must know (RFC 8446, section 9.1)."""
_BEGIN: Final = b"-----BEGIN "


def client_context(authorities: bytes | None = None) -> ssl.SSLContext:
    """Trust the authorities in a bundle, as PEM; without one, those of the system.

    Raises:
        ValueError: There are no certificates in the bundle, or more than are read.
        ssl.SSLError: They cannot be read.
    """
    if authorities is not None and not is_bounded(authorities):
        raise ValueError("too large")
    text = authorities.decode("ascii") if authorities is not None else None
    return _bounded(ssl.create_default_context(cadata=text))


def cluster_context(file: str | None) -> ssl.SSLContext:
    """Trust the authorities in a file, or those of the system, with our own API server, which is believed more."""
    context = ssl.create_default_context(cafile=file)
    context.set_ciphers(_CIPHERS)
    # Python 3.13 wants key identifiers, which the authorities of many clusters lack; no other client does.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def server_context() -> ssl.SSLContext:
    """Return the settings of a TLS server, to which its certificate is still to be given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return _bounded(context)


def is_bounded(bundle: bytes) -> bool:
    """Say whether a bundle of certificates is so small that it is read."""
    return len(bundle) <= LARGEST_BUNDLE and bundle.count(_BEGIN) <= MOST_CERTIFICATES


def _bounded(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers(_CIPHERS)
    # TLS 1.3 has groups of 8192 bits, too, and there the other side may insist on one. Python names one curve only.
    context.set_ecdh_curve(_CURVE)
    return context
