"""Interface of generators: values of one form, and their strength."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from keyturn.api.base import Schema
from keyturn.core.policy.rules import Strength
from keyturn.core.spec.items import VALUE
from keyturn.core.state.records import Validity
from keyturn.core.value import Value

C = TypeVar("C", bound=Schema)

Outputs = Mapping[str, Value]
"""Values by the names of a generator's outputs."""


@dataclass(frozen=True, slots=True)
class GeneratorContext:
    """Inputs of a generator besides its settings."""

    now: datetime
    values: Mapping[str, Outputs] = field(default_factory=dict)
    """Values of the items in `needs`, of the same revision."""
    previous: Outputs | None = None
    """The previous value of this item."""
    trusted: Outputs | None = None
    """The previous value without its overlap, if it stays trusted beyond the overlap of this one."""
    replaced: Outputs | None = None
    """The value that this one replaces, whatever its overlap."""
    is_exposed: bool = False
    """Whether the replaced value is exposed: an emergency asks for the new one."""
    issuer: Outputs | None = None
    """Content of the Secret that `issuer_secret` names."""


def is_loaded(module: str) -> bool:
    """Whether a module of this package is imported; the first import of cryptography takes 0.1 s."""
    return f"{__package__}.{module}" in sys.modules


class Generator(ABC, Generic[C]):
    """Generator of one recipe; contradicting settings raise Stalled in `__init__`."""

    kind: ClassVar[str]
    """The name that users write under `generate`."""
    Config: ClassVar[type[Schema]]
    """The settings; model and docstrings become a property of the CRD."""
    outputs: ClassVar[tuple[str, ...]] = (VALUE,)
    """Names of its outputs, each the default key in the Secret."""
    public: ClassVar[frozenset[str]] = frozenset()
    """Outputs that are not secret."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def generate(self, given: GeneratorContext) -> Outputs:
        """Return new values from the operating system's random source, one for each of `outputs`.

        Raises:
            Stalled: The context cannot be used, such as a certificate that may not sign.
        """

    @abstractmethod
    def accepts(self, outputs: Outputs) -> bool:
        """Return whether this recipe could have generated `outputs`; exceptions never quote them."""

    def adopted(self, found: Outputs) -> Outputs | None:
        """Return values of an existing Secret, with the outputs that follow from them; None if they cannot stay.

        Exceptions never quote them.
        """
        return found if self.accepts(found) else None

    @abstractmethod
    def strength(self) -> Strength | None:
        """Return the strength of each value; None for identifiers."""

    def remedy(self) -> str:
        """Return what to write instead if the strength is below the floor."""
        return "write a larger length"

    @property
    def needs(self) -> frozenset[str]:
        """Names of the items of the same object that it is generated from."""
        return frozenset()

    @property
    def issuer_secret(self) -> str | None:
        """Name of the Secret in the same namespace whose certificate signs."""
        return None

    @property
    def is_slow(self) -> bool:
        """Whether `generate` takes so long, or parses so much foreign input, that it needs a thread."""
        return False

    @property
    def is_long(self) -> bool:
        """Whether `generate` can take seconds, so that a reconcile does not wait for it; `needs` is empty then."""
        return False

    @property
    def ends(self) -> bool:
        """Whether its values expire, so that they are renewed without a schedule."""
        return False

    @property
    def keeps_trust(self) -> bool:
        """Whether a new value trusts earlier ones beyond the overlap, unless they are exposed."""
        return False

    @property
    def merges(self) -> frozenset[str]:
        """Outputs that can differ during an overlap, by the settings."""
        return frozenset()

    def life(self, outputs: Outputs) -> Validity | None:  # noqa: ARG002  # most values do not expire
        """Return when accepted `outputs` are renewed and when they expire; None if they do not."""
        return None

    def overlapping(self, fresh: Outputs, previous: Outputs) -> Outputs:  # noqa: ARG002  # most keep nothing
        """Return the outputs during the overlap with the `previous` ones."""
        return fresh


class SingleValue(Generator[C]):
    """Generator of a single value, from its settings only."""

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # one value needs no other
        return {VALUE: self.draw()}

    def accepts(self, outputs: Outputs) -> bool:
        return outputs.keys() == {VALUE} and self.fits(outputs[VALUE])

    def adopted(self, found: Outputs) -> Outputs | None:
        """Return a value of any form: the generator's applies from the next rotation on."""
        return found if found[VALUE].reveal() else None

    @abstractmethod
    def draw(self) -> Value:
        """Return a new value from the operating system's random source."""

    @abstractmethod
    def fits(self, value: Value) -> bool:
        """Return whether this recipe could have generated `value`; exceptions never quote it."""
