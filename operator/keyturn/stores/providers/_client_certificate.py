"""How a client certificate of a tenant's is shown: only once its key is known to sign in milliseconds.

OpenSSL signs with it in the event loop, and takes the first key that it finds. So it is given what was read here,
written again, and nothing else.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, NoReturn

from keyturn.runtime import rsa_parts as rsaparts
from keyturn.runtime import tls

if TYPE_CHECKING:
    import ssl

__all__ = ["show"]


def show(context: ssl.SSLContext, certificates: bytes, key: bytes) -> None:
    """Load a certificate and its key, both as PEM.

    Raises:
        ValueError: They cannot be read, are encrypted or too large.
        ssl.SSLError: They do not belong together.
    """
    pair = _checked(certificates, key)
    if not hasattr(os, "memfd_create"):
        with tempfile.NamedTemporaryFile() as file:
            file.write(pair)
            file.flush()
            context.load_cert_chain(file.name, password=_no_password)
        return
    # Python takes them from a file only: one in memory, where there are such.
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
        is_quick = is_small and rsaparts.belong_together(private.private_numbers())
    if not is_quick:
        raise ValueError("no key that is used")
    plain = serialization.NoEncryption()
    return shown + private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def _no_password() -> NoReturn:
    """Refuse an encrypted key: OpenSSL would ask at the terminal."""
    raise ValueError("encrypted")
