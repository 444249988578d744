"""What a generator is: fresh values of one form, and how hard they are to guess."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from keyturn.api.base import Schema
from keyturn.core.strength import LEAST_BITS, LEAST_LENGTH, Strength

if TYPE_CHECKING:
    from keyturn.core.value import Value

__all__ = ["LEAST_BITS", "LEAST_LENGTH", "Generator", "Strength"]

C = TypeVar("C", bound=Schema)


class Generator(ABC, Generic[C]):
    """Makes the values of one recipe; settings of which no value can be made raise Stalled in `__init__`."""

    kind: ClassVar[str]
    """The name that users write under `generate`."""
    Config: ClassVar[type[Schema]]
    """The settings, which become a property of the CRD with their docstrings."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def generate(self) -> Value:
        """Make a fresh value from the operating system's randomness."""

    @abstractmethod
    def accepts(self, value: Value) -> bool:
        """Say whether this recipe could have made `value`; nothing of it goes into an exception."""

    @abstractmethod
    def strength(self) -> Strength | None:
        """Say how strong each value is; None for what identifies and keeps no secret."""

    def remedy(self) -> str:
        """Say what to write instead when the strength is under the floor."""
        return "write a larger length"
