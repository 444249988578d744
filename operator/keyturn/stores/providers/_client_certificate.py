"""Client certificate of a tenant: loaded only after its key is known to sign within milliseconds.

OpenSSL signs on the event loop and takes the first key that it finds, so it gets the checked key, serialised again,
and nothing else.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, NoReturn

from keyturn.runtime import rsa_parts, tls

if TYPE_CHECKING:
    import ssl


def show(context: ssl.SSLContext, certificates: bytes, key: bytes) -> None:
    """Load a certificate and its key into a TLS context, both as PEM.

    Raises:
        ValueError: They cannot be parsed, are encrypted or too large.
        ssl.SSLError: They do not match.
    """
    pair = _checked(certificates, key)
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(pair)
            file.flush()
            context.load_cert_chain(file.name, password=_no_password)
        return
    # Python's ssl loads them from a file only; this one is in memory where that is possible.
    with os.fdopen(os.memfd_create("keyturn", os.MFD_CLOEXEC), "wb") as file:
        file.write(pair)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)


def _checked(certificates: bytes, key: bytes) -> bytes:
    from cryptography import x509  # noqa: PLC0415  # on first use: cryptography is large
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    if len(key) > tls.LARGEST_KEY or not tls.is_bounded(certificates):
        raise ValueError("too large")
    pem, kinds = (
        serialization.Encoding.PEM,
        rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    )
    try:
        private = serialization.load_pem_private_key(key, None, unsafe_skip_rsa_key_validation=True)
        shown = b"".join(one.public_bytes(pem) for one in x509.load_pem_x509_certificates(certificates))
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("not read") from error
    is_quick = isinstance(private, kinds)
    if isinstance(private, rsa.RSAPrivateKey):
        is_small = private.key_size <= tls.LARGEST_RSA
        is_quick = is_small and rsa_parts.belong_together(private.private_numbers())
    if not is_quick:
        raise ValueError("no key that is used")
    plain = serialization.NoEncryption()
    return shown + private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def _no_password() -> NoReturn:
    """Reject an encrypted key: OpenSSL would prompt on the terminal."""
    raise ValueError("encrypted")
