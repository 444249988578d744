"""Records of a login of a database account, of a lease of a dynamic credential, and of a revision with its values."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from keyturn.core.spec.items import Item, previous_key
from keyturn.core.spec.references import Destination, is_source
from keyturn.core.value import Value

UNKNOWN_REVISION = 0
"""Revision of a credential that may be open although its password is lost with an earlier record."""


class Phase(StrEnum):
    """How far the server knows a credential; `Staged` and `Closing` are recorded before the server is touched."""

    STAGED = "Staged"
    """Its password is recorded; the server may have it already, if the process ended before the next record."""
    APPLIED = "Applied"
    """The server has its password; no login has proven it."""
    PROVEN = "Proven"
    """A login as the application would do it was accepted."""
    CLOSING = "Closing"
    """It is to be closed; the server may refuse it already."""
    CLOSED = "Closed"
    """The server refuses it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A login of a database account with the password of one revision, never the password."""

    revision: int
    """The revision that brought its password; `UNKNOWN_REVISION` if the password is lost."""
    login: str
    phase: Phase
    since: datetime
    """When its phase was recorded."""
    tries: int = 0
    """How many candidates of the same rotation the server refused before it."""
    item: str = field(kw_only=True)
    """The item of data that is its password."""
    target: str = field(kw_only=True)
    """Kind and name of the target whose server has it."""
    proven: datetime | None = None
    """When it was proven, if its phase is another one since; None if no login has proven it."""

    @property
    def name(self) -> str:
        """Its name in messages: several passwords may have the same login."""
        return f"{self.login} of revision {self.revision}" if self.revision else self.login

    @property
    def is_open(self) -> bool:
        """Whether the server may accept it."""
        return self.phase is not Phase.CLOSED

    @property
    def is_candidate(self) -> bool:
        """Whether the server is still to learn it, or to prove it."""
        return self.phase in {Phase.STAGED, Phase.APPLIED}

    @property
    def is_proven(self) -> bool:
        return self.phase is Phase.PROVEN

    @property
    def proven_at(self) -> datetime | None:
        """When a login was accepted last; None if none was."""
        return self.since if self.is_proven else self.proven

    @property
    def is_closing(self) -> bool:
        return self.phase is Phase.CLOSING

    def at(self, phase: Phase, now: datetime) -> Self:
        """Return it in another phase since now; in the same one unchanged."""
        if phase is self.phase:
            return self
        return replace(self, phase=phase, since=now, proven=self.proven_at)


@dataclass(frozen=True, slots=True)
class StoreLease:
    """Lease of a dynamic credential: its identifier at the store, never the credential."""

    place: str
    """The key of the store that it was read from: the `id` of a destination."""
    id: str
    """The store's identifier of the lease."""
    login: str
    """The store's identifier of the session that the lease ends with.

    Empty if the session is not the operator's own.
    """
    lasts: timedelta
    """Duration of the lease at its start."""
    ends: datetime
    is_carried: bool = field(default=False, compare=False)
    """Whether a revision has had its values, so that pods may use them; it stays when those values are dropped."""
    issuer: str = ""
    """Server and engine that issued it."""

    @property
    def due(self) -> datetime:
        """When half of its duration is over; from then on it is renewed or replaced."""
        return self.ends - self.lasts / 2

    @property
    def where(self) -> Destination:
        return Destination.at(self.place)


# Revisions


LITERAL = "literal"
_NO_DATES: Mapping[str, datetime] = MappingProxyType({})
_NO_ITEMS: Mapping[str, frozenset[str]] = MappingProxyType({})
_FOUND = " (found)"
"""Suffix of the names of adopted keys that no item writes; the name of an item cannot contain it."""


def found_under(key: str) -> str:
    """Return the name for the value of an adopted key that no item writes."""
    return f"{key}{_FOUND}"


def is_found(name: str) -> bool:
    """Whether `name` is that of an adopted value that no item writes."""
    return name.endswith(_FOUND)


@dataclass(frozen=True, slots=True)
class Validity:
    """Validity of a value that expires, such as a certificate."""

    renew: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class ItemValues:
    """Values of one item, with the recipe that generated them."""

    recipe: str
    """LITERAL for a literal; empty for an adopted value, whose recipe is unknown."""
    outputs: Mapping[str, Value]
    keys: Mapping[str, str]
    """Key of the Secret by output."""
    life: Validity | None = None
    overlap: Mapping[str, Value] = field(default_factory=dict)
    """Outputs that have another value during the overlap."""
    previous: Mapping[str, Value] = field(default_factory=dict)
    """Outputs of the previous value, readable during the overlap."""
    earlier: Mapping[str, Value] = field(default_factory=dict)
    """Outputs of the previous value for templates that read it during the overlap."""
    lease: str = ""
    """The store's identifier of the lease of a dynamic credential; empty for other values."""

    @property
    def overlapping(self) -> Mapping[str, Value]:
        """Every output with its value during the overlap."""
        return {**self.outputs, **self.overlap}

    @property
    def is_read(self) -> bool:
        """Whether it was read from a store."""
        return is_source(self.recipe)

    @property
    def overlaps(self) -> bool:
        """Whether it has values of an overlap."""
        return bool(self.overlap or self.previous or self.earlier)

    def overlaps_as(self, other: Self) -> bool:
        """Whether both have the same values of an overlap."""
        return (self.overlap, self.previous, self.earlier) == (other.overlap, other.previous, other.earlier)

    def settled(self) -> Self:
        """Return it without its overlap values."""
        return replace(self, overlap={}, previous={}, earlier={})

    def behind(self, others: Collection[str]) -> Self:
        """Return it without the outputs whose keys are in `others`."""
        keys = {output: key for output, key in self.keys.items() if key not in others}
        return replace(self, outputs={output: self.outputs[output] for output in keys}, keys=keys)

    def under_keys_of(self, item: Item, of_data: Collection[str]) -> Self:
        """Return it under the keys of an item.

        An entry of dataFrom keeps its keys but those of `data`. Other outputs than those of the item, which are
        replaced when a store is read, keep theirs but those of other items.
        """
        if item.spreads or self.outputs.keys() != item.keys.keys():
            return self.behind({*of_data} - {*item.keys.values()})
        return replace(self, keys=item.keys)

    def with_gone(self, before: Self, taken: Collection[str]) -> Self | None:
        """Return it with the outputs of `before` that it lacks, except for `taken` keys; None if there are none."""
        gone = {output: key for output, key in before.keys.items() if key not in taken}
        outputs = {output: before.outputs[output] for output in gone}
        return (
            replace(self, outputs={**outputs, **self.outputs}, keys={**gone, **self.keys}) if gone else None
        )

    def data(self) -> dict[str, Value]:
        return {self.keys[output]: value for output, value in self.outputs.items()}

    def overlap_data(self) -> dict[str, Value]:
        """Return the keys that have another value, or exist at all, only during the overlap."""
        merged = {self.keys[output]: value for output, value in self.overlap.items()}
        return merged | {previous_key(self.keys[output]): value for output, value in self.previous.items()}


@dataclass(frozen=True, slots=True)
class Rendered:
    """Result of a template, rendered once per revision."""

    template: str
    value: Value
    overlap: Value | None = None
    """Another result during the overlap, of a template that reads previous values."""


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """Facts of a revision, without values."""

    number: int
    reason: str
    made: datetime
    changed: frozenset[str]
    """Keys that differ from the base revision."""
    base: int | None = None
    """The revision that this one is derived from."""
    fallback: int | None = None
    """The last earlier revision on which every workload ran."""
    previous: frozenset[str] = frozenset()
    """Keys that have another value, or exist at all, only during the overlap."""
    valid_until: datetime | None = None
    """When the overlap ends; known once every workload runs on this revision, or on that of `overlap_from`."""
    overlap_from: int | None = None
    """The earlier revision that began the overlap, if this one only keeps its previous values."""
    ended: bool = False
    """Whether the overlap is over."""
    credential: int | None = None
    """The revision that brought its database credential; None without one."""
    supersedes: int | None = None
    """The revision of the previous credential, which stays open during the overlap; None without one."""
    abandoned: bool = False
    """Whether it was given up before it was published."""
    rotated_before: datetime | None = None
    """When values were rotated before it, if it is a rotation."""
    fresh: frozenset[str] = frozenset()
    """Items whose values were generated for it."""
    answers: frozenset[str] = frozenset()
    """UIDs of the declared emergencies that were known when it was staged; its values are later."""
    taken: Mapping[str, frozenset[str]] = field(default_factory=lambda: _NO_ITEMS, hash=False)
    """The values that emergencies of `answers` take, by UID, of those that do not take all."""
    dates: Mapping[str, datetime] = field(default_factory=lambda: _NO_DATES, hash=False)
    """When the items with a schedule of their own were generated last, as of this revision."""

    @property
    def overlaps(self) -> bool:
        """Whether previous values, or a previous credential, are still valid."""
        return (bool(self.previous) or self.supersedes is not None) and not self.ended

    @property
    def began_overlap(self) -> bool:
        """Whether an overlap began with it, so that every workload ran on it."""
        return self.valid_until is not None and self.overlap_from is None

    @property
    def keeps_previous(self) -> bool:
        """Whether the Secret still needs values of the overlap."""
        return bool(self.previous) and not self.ended


def last_good(one: RevisionFacts, known: Iterable[RevisionFacts]) -> int | None:
    """Return the last revision before another one on which every workload ran.

    Of a restored revision a later one records that, although its rollout may have been in progress at the next.
    """
    was_good = any(later.fallback == one.base for later in known)
    return one.base if was_good else one.fallback


@dataclass(frozen=True, slots=True)
class Revision:
    """Values of one revision of the Secret."""

    values: Mapping[str, ItemValues]
    rendered: Mapping[str, Rendered] = field(default_factory=dict)

    @property
    def leases_by_item(self) -> dict[str, str]:
        """Lease identifiers by item, for the items with a lease."""
        return {name: kept.lease for name, kept in self.values.items() if kept.lease}

    def data(self) -> dict[str, Value]:
        """Return the content of the Secret without overlap; a template takes precedence over an item of its key."""
        items = {key: value for kept in self.values.values() for key, value in kept.data().items()}
        return items | {key: rendered.value for key, rendered in self.rendered.items()}

    def made_here(self) -> dict[str, Value]:
        """Return the values that may be pushed (see `Desired.made_here`), by their own recipes.

        The current spec can differ from that of an earlier revision after a rollback. Adopted values that no item
        writes are foreign and never leave the cluster.
        """
        items = [values for name, values in self.values.items() if not is_found(name)]
        keys = {key for values in items if not values.is_read for key in values.keys.values()}
        if not any(values.is_read for values in items):
            keys |= self.rendered.keys()
        return {key: value for key, value in self.data().items() if key in keys}

    def overlap_data(self) -> dict[str, Value]:
        """Return the values that differ during the overlap, of which templates hide those of items with their key."""
        every = {key: value for kept in self.values.values() for key, value in kept.overlap_data().items()}
        hidden = self.rendered.keys() | {previous_key(key) for key in self.rendered}
        items = {key: value for key, value in every.items() if key not in hidden}
        return items | {key: made.overlap for key, made in self.rendered.items() if made.overlap is not None}

    def published_data(self, *, overlapping: bool) -> dict[str, Value]:
        return self.data() | (self.overlap_data() if overlapping else {})


def changed_keys(before: Mapping[str, Value], after: Mapping[str, Value]) -> frozenset[str]:
    """Return the keys that were added, removed or changed."""
    keys = before.keys() | after.keys()
    return frozenset(
        key for key in keys if key not in before or key not in after or before[key] != after[key]
    )
