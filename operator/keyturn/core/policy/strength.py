"""Strength of a generated value: length and entropy, and the floor of every generated secret."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_LENGTH = 32
LEAST_BITS = 128


@dataclass(frozen=True, slots=True)
class Strength:
    """Length and entropy of a generated value."""

    length: int
    """Characters of the written form."""
    bits: float
    """Entropy: the binary logarithm of the number of possible values, all equally likely."""
    to_be_longer: str = "a larger length"
    """The change of the recipe for more characters, as a phrase after "write"."""
    to_be_stronger: str = "a larger length or exclude less"
    """The change of the recipe for more entropy, as a phrase after "write"."""

    @property
    def is_enough(self) -> bool:
        """Whether it meets the floor of 32 characters and 128 bits."""
        return self.length >= LEAST_LENGTH and self.bits >= LEAST_BITS
