"""What the state Secret records: the values of the last revisions and what was already handled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .value import Value

__all__ = [
    "HIGHEST_HINT",
    "HIGHEST_REVISION",
    "KEPT_REVISIONS",
    "LITERAL",
    "Kept",
    "Revision",
    "RevisionFacts",
    "State",
    "StateFacts",
    "Triggers",
    "changed_names",
    "state_name",
]

KEPT_REVISIONS = 3
LITERAL = "literal"
HIGHEST_HINT = 10**9
"""The greatest number that is believed to anybody but the state itself."""
HIGHEST_REVISION = 2 * HIGHEST_HINT
"""The greatest number that is read at all; there is room to count on from every hint."""
_KEPT_FACTS = 100  # a workload may be paused for long, and only these tell what it missed


def state_name(name: str) -> str:
    """Name the state Secret of the ManagedSecret of this name."""
    return f"{name}-keyturn"


@dataclass(frozen=True, slots=True)
class Triggers:
    """The requests for a rotation that were handled: by `rotation.trigger` and by annotation."""

    spec: str | None = None
    annotation: str | None = None
    last: str | None = None
    """The one of them that came last."""

    def unhandled(self, asked: Triggers) -> tuple[str, ...]:
        """Return those of the requests in `asked` that were not handled yet."""
        pairs = ((asked.spec, self.spec), (asked.annotation, self.annotation))
        return tuple(new for new, old in pairs if new is not None and new != old)

    def with_handled(self, asked: Triggers) -> Triggers:
        """Count the requests in `asked` as handled; one that was taken back stays handled."""
        new = self.unhandled(asked)
        return Triggers(
            self.spec if asked.spec is None else asked.spec,
            self.annotation if asked.annotation is None else asked.annotation,
            new[0] if new else self.last,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """A value with the recipe that made it."""

    recipe: str
    """LITERAL for one that was given; empty for one that was found, so that nobody knows how it was made."""
    value: Value


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """A revision without its values."""

    number: int
    reason: str
    made: datetime
    changed: frozenset[str]
    """The names that differ from the revision before it that was published."""
    published: datetime | None = None
    """When it was published; recorded when the next one is made, until then the Secret itself says so."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of the Secret, with every value."""

    facts: RevisionFacts
    values: Mapping[str, Kept]


@dataclass(frozen=True, slots=True)
class StateFacts:
    """The state without values: what decisions are made from."""

    uid: str
    rotated: datetime
    triggers: Triggers
    revisions: tuple[RevisionFacts, ...]
    names: frozenset[str]

    @property
    def newest(self) -> RevisionFacts:
        return self.revisions[0]


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is recorded of one ManagedSecret, the newest revision first."""

    uid: str
    """The UID of the ManagedSecret that these triggers were read from."""
    rotated: datetime
    triggers: Triggers
    revisions: tuple[Revision, ...]
    older: tuple[RevisionFacts, ...] = ()
    """The revisions before these, whose values are gone."""

    @property
    def newest(self) -> Revision:
        return self.revisions[0]

    def revision(self, number: int | None) -> Revision | None:
        return next((one for one in self.revisions if one.facts.number == number), None)

    def facts(self) -> StateFacts:
        return StateFacts(
            uid=self.uid,
            rotated=self.rotated,
            triggers=self.triggers,
            revisions=(*(one.facts for one in self.revisions), *self.older),
            names=frozenset(self.newest.values),
        )

    def with_published(self, published: datetime | None) -> State:
        """Record when the newest revision was published."""
        newest = replace(self.newest, facts=replace(self.newest.facts, published=published))
        return replace(self, revisions=(newest, *self.revisions[1:]))

    def with_revision(self, revision: Revision, rotated: datetime, triggers: Triggers) -> State:
        """Put a newer revision on top and drop the values that are older than the history keeps."""
        kept, dropped = self.revisions[: KEPT_REVISIONS - 1], self.revisions[KEPT_REVISIONS - 1 :]
        return replace(
            self,
            rotated=rotated,
            triggers=triggers,
            revisions=(revision, *kept),
            older=(*(one.facts for one in dropped), *self.older)[:_KEPT_FACTS],
        )


def changed_names(before: Mapping[str, Kept], after: Mapping[str, Kept]) -> frozenset[str]:
    """Return the names that were added, removed or given another value."""
    names = before.keys() | after.keys()
    return frozenset(
        name
        for name in names
        if name not in before or name not in after or before[name].value != after[name].value
    )
