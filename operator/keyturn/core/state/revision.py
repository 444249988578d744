"""One revision of a Secret: its values, and what is known of it without them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from keyturn.core.spec.items import previous_key
from keyturn.core.spec.store_refs import is_source

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from keyturn.core.value import Value

__all__ = [
    "LITERAL",
    "ItemValues",
    "Rendered",
    "Revision",
    "RevisionFacts",
    "Validity",
    "changed_keys",
    "found_under",
    "is_found",
]


LITERAL = "literal"
_FOUND = " (found)"
"""How the names of those end that an adopted Secret held and no item writes; no item can have such a name."""


def found_under(key: str) -> str:
    """Name what an adopted Secret holds under a key that no item writes."""
    return f"{key}{_FOUND}"


def is_found(name: str) -> bool:
    """Say of a name in a revision whether it is that of what was found and no item writes."""
    return name.endswith(_FOUND)


@dataclass(frozen=True, slots=True)
class Validity:
    """How long a value that ends by itself, such as a certificate, can be used."""

    renew: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class ItemValues:
    """What one item holds, with the recipe that made it."""

    recipe: str
    """LITERAL for one that was given; empty for one that was found, so that nobody knows how it was made."""
    outputs: Mapping[str, Value]
    keys: Mapping[str, str]
    """Under which key of the Secret each output is written."""
    life: Validity | None = None
    overlap: Mapping[str, Value] = field(default_factory=dict)
    """What outputs read while the overlap lasts, where that is something else."""
    previous: Mapping[str, Value] = field(default_factory=dict)
    """The outputs of the value before, to be read while the overlap lasts."""
    loan: str = ""
    """The store's name for the loan that it ends with, where it is lent."""

    @property
    def overlapping(self) -> Mapping[str, Value]:
        """Every output as it reads while the overlap lasts."""
        return {**self.outputs, **self.overlap}

    @property
    def is_read(self) -> bool:
        """A store holds it."""
        return is_source(self.recipe)

    def settled(self) -> ItemValues:
        """Return it as it is when the overlap is over."""
        return replace(self, overlap={}, previous={})

    def behind(self, others: Collection[str]) -> ItemValues:
        """Leave out what would be written under the keys of others."""
        keys = {output: key for output, key in self.keys.items() if key not in others}
        return replace(self, outputs={output: self.outputs[output] for output in keys}, keys=keys)

    def with_gone(self, before: ItemValues, taken: Collection[str]) -> ItemValues | None:
        """Return it with what it had before and has no more, but for keys that are taken; None where that is nothing.

        What was read elsewhere is no part of it.
        """
        if before.recipe != self.recipe:
            return None
        gone = {output: key for output, key in before.keys.items() if key not in taken}
        outputs = {output: before.outputs[output] for output in gone}
        return (
            replace(self, outputs={**outputs, **self.outputs}, keys={**gone, **self.keys}) if gone else None
        )

    def data(self) -> dict[str, Value]:
        return {self.keys[output]: value for output, value in self.outputs.items()}

    def overlap_data(self) -> dict[str, Value]:
        """Return the keys that read otherwise, or are there at all, only while the overlap lasts."""
        merged = {self.keys[output]: value for output, value in self.overlap.items()}
        return merged | {previous_key(self.keys[output]): value for output, value in self.previous.items()}


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template became, once for the revision."""

    template: str
    value: Value


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """A revision without its values."""

    number: int
    reason: str
    made: datetime
    changed: frozenset[str]
    """The keys that differ from the revision that this one was made from."""
    base: int | None = None
    """The revision that this one was made from."""
    fallback: int | None = None
    """The last one before it on which every workload ran."""
    previous: frozenset[str] = frozenset()
    """The keys that read otherwise, or are there at all, only while the overlap lasts."""
    valid_until: datetime | None = None
    """When the overlap ends; known from when every workload runs on this revision."""
    ended: bool = False
    """The overlap is over."""

    @property
    def overlaps(self) -> bool:
        """The Secret still carries what the overlap asks for."""
        return bool(self.previous) and not self.ended


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of the Secret, with every value."""

    facts: RevisionFacts
    values: Mapping[str, ItemValues]
    rendered: Mapping[str, Rendered] = field(default_factory=dict)

    @property
    def borrowed(self) -> dict[str, str]:
        """The items that are lent, each with the name of its loan."""
        return {name: kept.loan for name, kept in self.values.items() if kept.loan}

    def data(self) -> dict[str, Value]:
        """Return what the Secret holds when no overlap lasts; a template goes before an item of the same key."""
        items = {key: value for kept in self.values.values() for key, value in kept.data().items()}
        return items | {key: rendered.value for key, rendered in self.rendered.items()}

    def made_here(self) -> dict[str, Value]:
        """Return what may be pushed (see `Desired.made_here`), by how its own values were made.

        The spec of today can be another one: an earlier revision may have come back. What an adopted Secret held
        beside its items is another's, and stays in the cluster.
        """
        kept = [one for name, one in self.values.items() if not is_found(name)]
        keys = {key for one in kept if not one.is_read for key in one.keys.values()}
        if not any(one.is_read for one in kept):
            keys |= self.rendered.keys()
        return {key: value for key, value in self.data().items() if key in keys}

    def overlap_data(self) -> dict[str, Value]:
        """Return what reads otherwise while the overlap lasts; nothing of what is there for the templates only."""
        every = {key: value for kept in self.values.values() for key, value in kept.overlap_data().items()}
        hidden = self.rendered.keys() | {previous_key(key) for key in self.rendered}
        return {key: value for key, value in every.items() if key not in hidden}

    def published_data(self, *, overlapping: bool) -> dict[str, Value]:
        return self.data() | (self.overlap_data() if overlapping else {})


def changed_keys(before: Mapping[str, Value], after: Mapping[str, Value]) -> frozenset[str]:
    """Return the keys that were added, removed or given another value."""
    keys = before.keys() | after.keys()
    return frozenset(
        key for key in keys if key not in before or key not in after or before[key] != after[key]
    )
