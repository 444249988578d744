"""How files are signed so that openssl and cosign verify them: ECDSA on P-256 with SHA-256, in Base64.

Source: Sigstore, "Signing blobs" and "Bring your own key"; RFC 6979 for signatures that need no randomness.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .errors import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path

_HOW = "make one with: openssl ecparam -name prime256v1 -genkey -noout -out keyturn.key"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key; no method shows it."""

    _key: ec.EllipticCurvePrivateKey

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """Read a key in PEM, without a password."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError as error:
            raise ReleaseError(f"the key {path} cannot be read ({error.strerror}); {_HOW}") from error
        except TypeError as error:
            raise ReleaseError(
                f"the key {path} has a password; give one without, for as long as it takes: "
                "openssl pkey -in FILE -out keyturn.key"
            ) from error
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ReleaseError(f"{path} holds no private key of P-256 in PEM; {_HOW}")
        return cls(key)

    def sign(self, content: bytes) -> bytes:
        """Return a signature; the same content gives the same one."""
        return self._key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def sign_file(self, path: Path) -> Path:
        """Write the signature of a file beside it."""
        beside = path.with_name(f"{path.name}.sig")
        beside.write_bytes(base64.b64encode(self.sign(path.read_bytes())) + b"\n")
        return beside

    def public(self) -> bytes:
        """Return the public key in PEM."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(encoding, form)
