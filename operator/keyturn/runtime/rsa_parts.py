"""Whether the parts of a private key of RSA belong together, which nothing else looks at that is quick.

One signature takes as long as its parts are large, whatever the size of the whole: two factors of 12,000 bits beside
a modulus of 2,048 take a minute.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers

__all__ = ["belong_together"]


def belong_together(numbers: RSAPrivateNumbers) -> bool:
    """Say whether a key is what a key of RSA is, apart from whether its factors are primes."""
    p, q, d, public = numbers.p, numbers.q, numbers.d, numbers.public_numbers
    return (
        min(p, q) > 1
        and p * q == public.n
        and public.n % 2 == 1
        and public.e * d % math.lcm(p - 1, q - 1) == 1
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )
