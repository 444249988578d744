"""Generator ecKey: keys on NIST curves, for ECDSA and ECDH."""

from __future__ import annotations

from keyturn.api.base import Schema

from ._keyforms import Curve, Ec
from ._keypair import KeyPair


class EcKeyConfig(Schema):
    """A key pair on a NIST curve as PEM."""

    curve: Curve = "P-256"
    """The curve: P-256 (the default), P-384 or P-521."""


class EcKey(KeyPair[EcKeyConfig]):
    """Generates a key pair on one curve; the private key is PKCS #8."""

    kind = "ecKey"
    Config = EcKeyConfig

    @property
    def key(self) -> Ec:
        return Ec(self.config.curve)
