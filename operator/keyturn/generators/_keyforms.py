"""Kinds of private keys, and their strength."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pydantic

from keyturn.api.base import rules
from keyturn.core.policy.strength import LEAST_BITS, Strength

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
