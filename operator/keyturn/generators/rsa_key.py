"""Generator rsaKey: RSA keys."""

from __future__ import annotations

from typing import Literal

from keyturn.api.base import Schema

from ._keyforms import LEAST_RSA_BITS, PemForm, Rsa, RsaBits
from ._keypair import KeyPair


class RsaKeyConfig(Schema):
    """An RSA key pair as PEM."""

    bits: RsaBits = LEAST_RSA_BITS
    """The size of the key in bits, an even number of at most 8192; 3072 if absent."""
    format: Literal["PKCS8", "PKCS1"] = "PKCS8"
    """The format of the private key: PKCS8 (the default) or PKCS1, which starts with BEGIN RSA PRIVATE KEY."""


class RsaKey(KeyPair[RsaKeyConfig]):
    """Generates an RSA key pair."""

    kind = "rsaKey"
    Config = RsaKeyConfig

    @property
    def key(self) -> Rsa:
        return Rsa(self.config.bits)

    @property
    def form(self) -> PemForm:
        return self.config.format

    def remedy(self) -> str:
        return f"write bits: {LEAST_RSA_BITS} or more"
