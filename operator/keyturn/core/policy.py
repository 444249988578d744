"""Which rules of its class a managed secret breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.api.secretclass import SecretClass

    from .strength import Strength

__all__ = ["Violation", "violations_of"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule, with what to write instead."""

    rule: str
    message: str


def violations_of(
    secret_class: SecretClass | None, strengths: Mapping[str, Strength]
) -> tuple[Violation, ...]:
    """Hold the generated values' strengths against the minimums of the class."""
    if secret_class is None:
        return ()
    return tuple(_too_short(secret_class, strengths)) + tuple(_too_guessable(secret_class, strengths))


def _too_short(secret_class: SecretClass, strengths: Mapping[str, Strength]) -> Iterator[Violation]:
    least = secret_class.spec.min_length
    for name, strength in strengths.items():
        if least is not None and strength.length < least:
            yield Violation(
                "minLength",
                f"{name} would have {strength.length} characters and class {secret_class.metadata.name}"
                f" asks for {least}; write a larger length",
            )


def _too_guessable(secret_class: SecretClass, strengths: Mapping[str, Strength]) -> Iterator[Violation]:
    least = secret_class.spec.min_entropy_bits
    for name, strength in strengths.items():
        if least is not None and strength.bits < least:
            yield Violation(
                "minEntropyBits",
                f"{name} would have {math.floor(strength.bits)} bits of entropy and class"
                f" {secret_class.metadata.name} asks for {least}; write a larger length or exclude less",
            )
