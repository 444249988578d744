"""An emergency as one ManagedSecret observes it; which ManagedSecrets it concerns, and who has read their Secrets."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self, assert_never

from keyturn.api.emergency import EmergencyRotation, Revoke
from keyturn.api.meta import LabelRequirement, LabelSelector, Operator


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether `labels` meet every requirement of `selector`; an empty selector matches all."""
    if any(labels.get(name) != value for name, value in selector.match_labels.items()):
        return False
    return all(_holds(requirement, labels) for requirement in selector.match_expressions)


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    key, values = requirement.key, requirement.values or ()
    match requirement.operator:
        case Operator.IN:
            return labels.get(key) in values
        case Operator.NOT_IN:  # NotIn also matches if the label is absent
            return labels.get(key) not in values
        case Operator.EXISTS:
            return key in labels
        case Operator.DOES_NOT_EXIST:
            return key not in labels
        case _:
            assert_never(requirement.operator)


@dataclass(frozen=True, slots=True)
class Emergency:
    """A declared emergency, as observed by one affected ManagedSecret."""

    name: str
    uid: str
    started: datetime
    revoke: Revoke = Revoke.IMMEDIATELY
    evict: bool = False
    """Whether pods of Jobs and bare pods with exposed values are evicted."""
    is_open: bool = True
    """Whether some service of some of its secrets does not run on new values yet."""
    is_complete: bool = False
    """Whether this ManagedSecret is complete."""
    signer: str | None = None
    """The ManagedSecret of the CA that signs certificates of this one, while that CA is not rotated yet."""
    goes_first: bool = False
    """Whether values are rotated before `signer` is, because that is stuck or takes long."""
    signed: frozenset[str] = frozenset()
    """Items of this one that CAs sign which the emergency affects, too."""
    items: frozenset[str] | None = None
    """The values that it takes; None for all."""
    own_only: bool = False
    """Whether of all rotations only one for an emergency is enough: any other keeps the trust in exposed values."""

    @property
    def is_unfinished_here(self) -> bool:
        """Whether the emergency still waits for this ManagedSecret."""
        return self.is_open and not self.is_complete

    def taken(self, names: Collection[str]) -> frozenset[str]:
        """Return those of some values that it takes."""
        return frozenset(names) if self.items is None else self.items.intersection(names)


@dataclass(frozen=True, slots=True)
class EmergencyScope:
    """Membership test: the ManagedSecrets of the namespace that an emergency affects.

    A ManagedSecret that was affected stays affected; after all services are updated, none is added.
    """

    kept: frozenset[str]
    """Those that were affected."""
    names: frozenset[str] = frozenset()
    selector: LabelSelector | None = None
    items: frozenset[str] | None = None
    """The values of which a ManagedSecret has one that is added; None if any is added."""

    @classmethod
    def of(cls, emergency: EmergencyRotation) -> Self:
        spec, status = emergency.spec, emergency.status
        kept = frozenset(row.name for row in status.secrets if row.items or spec.items is None)
        if status.has_updated_services:
            return cls(kept)
        items = None if spec.items is None else frozenset(spec.items)
        return cls(kept, frozenset(spec.names or ()), spec.selector, items)

    def selects(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a ManagedSecret is named or selected, whatever its values are."""
        return name in self.names or (self.selector is not None and selects(self.selector, labels))

    def concerns(
        self, name: str, labels: Mapping[str, str], has: Callable[[], Collection[str]] = tuple
    ) -> bool:
        """Whether a ManagedSecret is affected; `has` returns the names of its values, and is rarely called."""
        if name in self.kept:
            return True
        return self.selects(name, labels) and (self.items is None or not self.items.isdisjoint(has()))


def concerns(
    emergency: EmergencyRotation,
    name: str,
    labels: Mapping[str, str],
    has: Callable[[], Collection[str]] = tuple,
) -> bool:
    """Whether an emergency affects a ManagedSecret of its namespace with certain values."""
    return EmergencyScope.of(emergency).concerns(name, labels, has)


class ReaderStatus(StrEnum):
    """Whether a reader is older than the start of the requested period."""

    NEW = "new"
    KNOWN = "known"
    UNKNOWN = "unknown"
    """It appeared first during the learning period."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A subject that read or changed a Secret, directly or with a request for a whole namespace or cluster."""

    subject: str
    kind: str
    verbs: frozenset[str]
    first: datetime
    last: datetime
    count: int
    reach: str
    """Scope of its requests: this Secret, all of the namespace, or all of the cluster."""
    status: ReaderStatus = ReaderStatus.UNKNOWN


@dataclass(frozen=True, slots=True)
class Readership:
    """Readers of the affected secrets of a namespace."""

    readers: tuple[tuple[str, Reader], ...] = ()
    """Readers with the name of the ManagedSecret, the latest first."""
    forgotten: int = 0
    """About how many readers were dropped for lack of space."""
    refused: tuple[Reader, ...] = ()
    """Subjects whose requests were denied, the latest first."""
    since: datetime | None = None
    """Time of the first audit event."""
