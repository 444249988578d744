"""Generator ed25519Key: Ed25519 keys (RFC 8032)."""

from __future__ import annotations

from keyturn.api.base import Schema

from ._keyforms import Ed25519
from ._keypair import KeyPair


class Ed25519KeyConfig(Schema):
    """An Ed25519 key pair as PEM."""


class Ed25519Key(KeyPair[Ed25519KeyConfig]):
    """Generates an Ed25519 key pair; the private key is PKCS #8."""

    kind = "ed25519Key"
    Config = Ed25519KeyConfig

    @property
    def key(self) -> Ed25519:
        return Ed25519()
