"""Generators rsaKey, ecKey and ed25519Key: key pairs as PEM, and the strength of each kind of key."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import pydantic

from keyturn.api.base import Schema, rules
from keyturn.core.policy.rules import LEAST_BITS, Strength

from .base import Generator, GeneratorContext, Outputs, is_loaded

Curve = Literal["P-256", "P-384", "P-521"]
PemForm = Literal["PKCS8", "PKCS1", "SEC1"]

LEAST_RSA_BITS = 3072

# Strength compared with symmetric keys. Source: NIST SP 800-57 part 1 (rev. 5), table 2.
_RSA_STRENGTHS = ((7680, 192), (LEAST_RSA_BITS, LEAST_BITS), (2048, 112))
_CURVE_STRENGTHS: dict[Curve, int] = {"P-256": 128, "P-384": 192, "P-521": 256}
_ED25519_STRENGTH = 128

# Lower bounds of the length of a PEM; other formats are longer.
_CURVE_LENGTHS: dict[Curve, int] = {"P-256": 200, "P-384": 260, "P-521": 340}
_ED25519_LENGTH = 100

_TOO_FEW = (
    f"an RSA key needs {LEAST_RSA_BITS} bits to be as strong as {LEAST_BITS} bits of entropy; write bits:"
    f" {LEAST_RSA_BITS} or more"
)
_EVEN_SIZE = "an RSA key has an even number of bits; write one, such as 4096"


def _is_even(bits: int) -> int:
    if bits % 2:
        raise ValueError(_EVEN_SIZE)
    return bits


RsaBits = Annotated[
    int,
    pydantic.Field(
        ge=0,
        le=8192,
        json_schema_extra=rules(
            (f"self >= {LEAST_RSA_BITS}", _TOO_FEW),
            ("self % 2 == 0", _EVEN_SIZE),
        ),
    ),
    pydantic.AfterValidator(_is_even),
]
"""The setting `bits` of generators of RSA keys."""


@dataclass(frozen=True, slots=True)
class Rsa:
    """RSA keys of one size."""

    bits: int = LEAST_RSA_BITS

    @property
    def strength(self) -> Strength:
        bits = next((strength for size, strength in _RSA_STRENGTHS if self.bits >= size), 0)
        # The modulus, the private exponent and five numbers of half their length, six bits per character.
        return Strength(self.bits * 3 // 4, bits, "more bits", "more bits")


@dataclass(frozen=True, slots=True)
class Ec:
    """Keys on a NIST curve."""

    curve: Curve = "P-256"

    @property
    def strength(self) -> Strength:
        return Strength(
            _CURVE_LENGTHS[self.curve], _CURVE_STRENGTHS[self.curve], "a larger curve", "a larger curve"
        )


@dataclass(frozen=True, slots=True)
class Ed25519:
    """Keys on the curve edwards25519."""

    @property
    def strength(self) -> Strength:
        return Strength(_ED25519_LENGTH, _ED25519_STRENGTH, "an ecKey instead", "an ecKey instead")


KeyForm = Rsa | Ec | Ed25519


C = TypeVar("C", bound=Schema)


class KeyPair(Generator[C]):
    """Generates a private key and its public key as SubjectPublicKeyInfo, both as PEM."""

    outputs = ("privateKey", "publicKey")
    public = frozenset({"publicKey"})

    @property
    @abstractmethod
    def key(self) -> KeyForm:
        """Kind of the key."""

    @property
    def form(self) -> PemForm:
        """Format of the private key."""
        return "PKCS8"

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # a key needs no other value
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.draw(self.key)
        return {"privateKey": _pem.private_pem(key, self.form), "publicKey": _pem.public_pem(key)}

    def accepts(self, outputs: Outputs) -> bool:
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        if outputs.keys() != set(self.outputs):
            return False
        key = _pem.private_key_in(outputs["privateKey"], self.form)
        public = _pem.public_key_in(outputs["publicKey"])
        return key is not None and _pem.is_of(self.key, key) and key.public_key() == public

    def adopted(self, found: Outputs) -> Outputs | None:
        from . import _pem  # noqa: PLC0415  # on first use: cryptography is large

        key = _pem.private_key_in(found["privateKey"], self.form) if "privateKey" in found else None
        return super().adopted({"publicKey": _pem.public_pem(key), **found}) if key else None

    @property
    def is_slow(self) -> bool:
        return isinstance(self.key, Rsa) or not is_loaded("_pem")

    @property
    def is_long(self) -> bool:
        return isinstance(self.key, Rsa)

    def strength(self) -> Strength:
        return self.key.strength


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


class Ed25519KeyConfig(Schema):
    """An Ed25519 key pair as PEM."""


class Ed25519Key(KeyPair[Ed25519KeyConfig]):
    """Generates an Ed25519 key pair; the private key is PKCS #8."""

    kind = "ed25519Key"
    Config = Ed25519KeyConfig

    @property
    def key(self) -> Ed25519:
        return Ed25519()
