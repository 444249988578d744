"""What a generator is: fresh values of one form, and how hard they are to guess."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from keyturn.api.base import Schema
from keyturn.core.policy.strength import LEAST_BITS, LEAST_LENGTH, Strength
from keyturn.core.spec.desired import VALUE
from keyturn.core.value import Value

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.core.state.revision import Validity

__all__ = [
    "LEAST_BITS",
    "LEAST_LENGTH",
    "VALUE",
    "Generator",
    "GeneratorContext",
    "Outputs",
    "SingleValue",
    "Strength",
    "is_loaded",
]

C = TypeVar("C", bound=Schema)

Outputs = Mapping[str, Value]
"""What a generator makes, by the names of its outputs."""


@dataclass(frozen=True, slots=True)
class GeneratorContext:
    """What a generator may use besides its settings."""

    now: datetime
    values: Mapping[str, Outputs] = field(default_factory=dict)
    """What the items of the same revision hold that this one needs."""
    previous: Outputs | None = None
    """What this item held before."""
    issuer: Outputs | None = None
    """What the Secret holds that `issuer_secret` names."""


def is_loaded(module: str) -> bool:
    """Say whether a module beside this one was imported; the first import of cryptography takes 0.1 s."""
    return f"{__package__}.{module}" in sys.modules


class Generator(ABC, Generic[C]):
    """Makes the values of one recipe; settings of which no value can be made raise Stalled in `__init__`."""

    kind: ClassVar[str]
    """The name that users write under `generate`."""
    Config: ClassVar[type[Schema]]
    """The settings, which become a property of the CRD with their docstrings."""
    outputs: ClassVar[tuple[str, ...]] = (VALUE,)
    """The names of what it makes, each the key in the Secret where the spec names no other."""
    public: ClassVar[frozenset[str]] = frozenset()
    """Those of the outputs that are no secret."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def generate(self, given: GeneratorContext) -> Outputs:
        """Make fresh values from the operating system's randomness, one for each of `outputs`.

        Raises:
            Stalled: What is given cannot be used, such as a certificate that may not sign.
        """

    @abstractmethod
    def accepts(self, outputs: Outputs) -> bool:
        """Say whether this recipe could have made `outputs`; nothing of them goes into an exception."""

    @abstractmethod
    def strength(self) -> Strength | None:
        """Say how strong each value is; None for what identifies and keeps no secret."""

    def remedy(self) -> str:
        """Say what to write instead when the strength is under the floor."""
        return "write a larger length"

    @property
    def needs(self) -> frozenset[str]:
        """The names of the items of the same object that it is made from."""
        return frozenset()

    @property
    def issuer_secret(self) -> str | None:
        """The Secret of the same namespace whose certificate signs what is made."""
        return None

    @property
    def is_slow(self) -> bool:
        """Whether `generate` takes so long, or reads so much of others, that it belongs in a thread."""
        return False

    @property
    def is_long(self) -> bool:
        """Whether `generate` can take seconds, so that nothing waits for it; it needs no other values then."""
        return False

    @property
    def ends(self) -> bool:
        """Whether what it makes ends by itself, so that it is renewed without any schedule."""
        return False

    @property
    def merges(self) -> frozenset[str]:
        """The outputs that can read otherwise while an overlap lasts, as far as the settings tell."""
        return frozenset()

    def life(self, outputs: Outputs) -> Validity | None:  # noqa: ARG002  # most values do not end by themselves
        """Say when accepted `outputs` are to be renewed, and when they end; None for those that do not end."""
        return None

    def overlapping(self, fresh: Outputs, previous: Outputs) -> Outputs:  # noqa: ARG002  # most keep nothing
        """Say what the outputs read while the overlap with the `previous` ones lasts."""
        return fresh


class SingleValue(Generator[C]):
    """Makes one value, from nothing but its settings."""

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # one value needs no other
        return {VALUE: self.draw()}

    def accepts(self, outputs: Outputs) -> bool:
        return outputs.keys() == {VALUE} and self.fits(outputs[VALUE])

    @abstractmethod
    def draw(self) -> Value:
        """Make a fresh value from the operating system's randomness."""

    @abstractmethod
    def fits(self, value: Value) -> bool:
        """Say whether this recipe could have made `value`; nothing of it goes into an exception."""
