"""How TLS is spoken, and how much of certificates and keys is read: the one place that makes contexts.

A handshake is reckoned in the event loop, with what the other side or a tenant chose. So what it can cost is bounded:
no Diffie-Hellman in finite fields, whose group the other side chooses (0.2 s for 8192 bits), few authorities, and no
RSA key larger than any that is made here.
"""

from __future__ import annotations

import ssl
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CURVES",
    "LARGEST_BUNDLE",
    "LARGEST_KEY",
    "LARGEST_RSA",
    "MOST_CERTIFICATES",
    "client_context",
    "cluster_context",
    "has_no_common_curve",
    "is_bounded",
    "offering",
    "server_context",
]

CURVES: Final = ("prime256v1", "X25519", "secp384r1")
"""P-256, which every server of TLS 1.3 must know (RFC 8446, section 9.1), and what those know that do not."""

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
_NOTHING_IN_COMMON: Final = frozenset(
    {"SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY", "WRONG_CURVE"}
)
"""What OpenSSL calls the alerts of a server that takes no offered curve, and a certificate on another one."""
_BEGIN: Final = b"-----BEGIN "

_offered: ContextVar[str] = ContextVar("offered", default=CURVES[0])


class _ClientContext(ssl.SSLContext):
    """Offers one curve in each handshake, which `offering` has chosen.

    TLS 1.3 has groups of 8192 bits, too, and there a server may insist on one that was offered. What OpenSSL offers
    else has them, and before Python 3.15 a list can name one curve only.
    """

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002  # as Python has it
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        # A handshake keeps what the context offers now, and all of them begin in one thread, that of the event loop.
        self.set_ecdh_curve(_offered.get())
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


@contextmanager
def offering(curve: str) -> Iterator[None]:
    """Offer one of `CURVES` in the handshakes of `client_context` that begin meanwhile."""
    before = _offered.set(curve)
    try:
        yield
    finally:
        _offered.reset(before)


def has_no_common_curve(error: BaseException) -> bool:
    """Say whether a handshake has failed as it does where no curve is taken by both sides."""
    return isinstance(error, ssl.SSLError) and error.reason in _NOTHING_IN_COMMON


def client_context(authorities: bytes | None = None) -> ssl.SSLContext:
    """Trust the authorities in a bundle, as PEM; without one, those of the system.

    Raises:
        ValueError: There are no certificates in the bundle, or more than are read.
        ssl.SSLError: They cannot be read.
    """
    if authorities is not None and not is_bounded(authorities):
        raise ValueError("too large")
    context = _ClientContext(
        ssl.PROTOCOL_TLS_CLIENT
    )  # which asks for a certificate and the host's name in it
    context.set_ciphers(_CIPHERS)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=authorities.decode("ascii"))
    return context


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
    context.set_ciphers(_CIPHERS)
    context.set_ecdh_curve(CURVES[0])
    return context


def is_bounded(bundle: bytes) -> bool:
    """Say whether a bundle of certificates is so small that it is read."""
    return len(bundle) <= LARGEST_BUNDLE and bundle.count(_BEGIN) <= MOST_CERTIFICATES
