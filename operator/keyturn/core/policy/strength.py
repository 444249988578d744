"""How hard a generated value is to guess."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEAST_BITS", "LEAST_LENGTH", "Strength"]

LEAST_LENGTH = 32
LEAST_BITS = 128


@dataclass(frozen=True, slots=True)
class Strength:
    """How hard a generated value is to guess."""

    length: int
    """Characters in the written form."""
    bits: float
    """Entropy: the binary logarithm of how many values there are, all equally likely."""
    to_be_longer: str = "a larger length"
    """What to write for more characters."""
    to_be_stronger: str = "a larger length or exclude less"
    """What to write for more entropy."""

    @property
    def is_enough(self) -> bool:
        """Whether it reaches the floor under every generated secret."""
        return self.length >= LEAST_LENGTH and self.bits >= LEAST_BITS
