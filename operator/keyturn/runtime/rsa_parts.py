"""Consistency of the parts of a private RSA key, checked without a search for primes.

The duration of a signature depends on the size of the parts: two factors of 12,000 bits with a modulus of 2,048 bits
take a minute.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers


def belong_together(numbers: RSAPrivateNumbers) -> bool:
    """Whether the parts are consistent with each other (RFC 8017, section 3.2); primality is not checked."""
    p, q, d, public = numbers.p, numbers.q, numbers.d, numbers.public_numbers
    return (
        min(p, q) > 1
        and p * q == public.n
        and public.n % 2 == 1
        and public.e * d % math.lcm(p - 1, q - 1) == 1
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )
