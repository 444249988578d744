"""What is known of rotations after they ran: logins, records, publications, pods, and changes at the server."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest


class Answer(StrEnum):
    """What a server made of a login."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """It was stopped, frozen or full: no statement about the password."""


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A login and the salted digest of a password."""

    login: str
    digest: str

    def __str__(self) -> str:
        return f"{self.login} with {self.digest}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login, as an application does it."""

    pair: Pair
    began: float
    ended: float
    answer: Answer
    endpoint: str = "server"


OPEN = frozenset({"Staged", "Applied", "Proven"})
"""The phases in which a recorded credential may be open at the server."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One credential of a record."""

    revision: int
    login: str
    phase: str
    digest: str
    """Empty where the record no longer has its value."""

    @property
    def pair(self) -> Pair:
        return Pair(self.login, self.digest)


@dataclass(frozen=True, slots=True)
class Record:
    """One version of the state Secret."""

    at: float
    """When the API server received it; it was not in force before."""
    current: int
    entries: tuple[Entry, ...]

    def opens(self, pair: Pair) -> bool:
        return any(one.pair == pair and one.phase in OPEN for one in self.entries)

    def keeps(self, pair: Pair) -> bool:
        """Say whether it has the value of a credential, in whatever phase."""
        return any(one.pair == pair for one in self.entries)

    def phase_of(self, pair: Pair) -> str:
        return next((one.phase for one in self.entries if one.pair == pair), "")


@dataclass(frozen=True, slots=True)
class Publication:
    """One content of the target Secret."""

    at: float
    """When the API server received it."""
    observed: float
    """When it was certainly in force."""
    pair: Pair


@dataclass(frozen=True, slots=True)
class Run:
    """A pod, with what the Secret said when it started."""

    pod: str
    pair: Pair
    began: float
    ended: float = math.inf


@dataclass(frozen=True, slots=True)
class Restart:
    """A workload whose pods were replaced, by the operator."""

    workload: str
    at: float


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction made of one role, by the server's own log."""

    opened: float
    """When the transaction began."""
    began: float
    """When the first statement about the role was sent."""
    ended: float
    login: str
    before: Pair | None
    after: Pair | None
    """None: the role has neither LOGIN nor a password."""
    is_half: bool = False
    """It has one of the two, so that a pooler may accept it."""
    is_foreign: bool = False
    """Another administrator made it, not the operator."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What the server accepted at one moment, by its own catalogue."""

    at: float
    pairs: frozenset[Pair]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one account; each list is in the order of time."""

    attempts: Sequence[Attempt] = ()
    records: Sequence[Record] = ()
    publications: Sequence[Publication] = ()
    runs: Sequence[Run] = ()
    restarts: Sequence[Restart] = ()
    changes: Sequence[Change] = ()
    roles: Sequence[Roles] = ()
    proofs: Sequence[tuple[float, str]] = ()
    """When the operator logged in with which login, by the server's log."""
    leaks: Sequence[str] = ()
    """Where a value stands that does not belong there."""

    def in_force(self, began: float, ended: float) -> Iterator[Record]:
        """Yield the records that were in force at some time of a span."""
        for record, next_one in zip_longest(self.records, self.records[1:]):
            if record.at <= ended and (next_one is None or next_one.at >= began):
                yield record

    def record_at(self, at: float) -> Record | None:
        return next((record for record in reversed(self.records) if record.at <= at), None)

    def published(self) -> Iterator[tuple[Publication, float]]:
        """Yield each publication, and the earliest time at which another one was in force."""
        for one, next_one in zip_longest(self.publications, self.publications[1:]):
            yield one, next_one.at if next_one else math.inf
