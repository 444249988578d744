"""What the state Secret records: the values of the last revisions and what was already handled."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from .lease import StoreLease
    from .revision import Revision, RevisionFacts, Validity


__all__ = [
    "HIGHEST_HINT",
    "HIGHEST_REVISION",
    "Held",
    "Publication",
    "Pushed",
    "State",
    "StateFacts",
    "Triggers",
    "state_name",
]

HIGHEST_HINT = 10**9
"""The greatest number that is believed to anybody but the state itself."""
HIGHEST_REVISION = 2 * HIGHEST_HINT
"""The greatest number that is read at all; there is room to count on from every hint."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
_KEPT_FACTS = 100  # a workload may be paused for long, and only these tell what it missed


def state_name(name: str) -> str:
    """Name the state Secret of the ManagedSecret of this name."""
    return f"{name}-keyturn"


@dataclass(frozen=True, slots=True)
class Triggers:
    """The requests that were handled: by `rotation.trigger` and by annotation."""

    spec: str | None = None
    annotation: str | None = None
    last: str | None = None
    """The one of the requests for a rotation that came last."""
    rollback: str | None = None
    refresh: str | None = None

    @classmethod
    def at_first(cls, asked: Triggers) -> Triggers:
        """Count as handled what stands in an object that is new."""
        return cls().with_handled(asked).with_refreshed(asked)

    def unhandled(self, asked: Triggers) -> tuple[str, ...]:
        """Return those of the requests for a rotation in `asked` that were not handled yet."""
        pairs = ((asked.spec, self.spec), (asked.annotation, self.annotation))
        return tuple(new for new, old in pairs if new is not None and new != old)

    def with_handled(self, asked: Triggers) -> Triggers:
        """Count the requests in `asked` as handled; one that was taken back stays handled."""
        new = self.unhandled(asked)
        return Triggers(
            self.spec if asked.spec is None else asked.spec,
            self.annotation if asked.annotation is None else asked.annotation,
            new[0] if new else self.last,
            self.rollback if asked.rollback is None else asked.rollback,
            self.refresh,
        )

    def with_refreshed(self, asked: Triggers) -> Triggers:
        """Count the request to read the stores as handled, and no other."""
        return self if asked.refresh is None else replace(self, refresh=asked.refresh)


@dataclass(frozen=True, slots=True)
class Publication:
    """When a revision was written into the Secret, for the first time or once more by a rollback."""

    number: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was written into a key of a store, or is about to be."""

    place: str
    """Which key of which store: the `id` of its destination."""
    text: str
    """What of the Secret goes there, and how."""
    number: int
    """The revision whose values they are."""
    done: bool
    deletes: bool
    """It is deleted there when it is no longer pushed."""
    kept: bool = False
    """The store had other content already, which was left as it is."""


@dataclass(frozen=True, slots=True)
class Held:
    """A return to an earlier revision, after which nothing is rotated before somebody asks for it."""

    number: int
    """The revision that was given up."""
    generation: int
    """The generation of the spec under which that was so."""
    at: datetime
    failed: bool
    """Whether a rollout failed; otherwise a person asked for it."""


@dataclass(frozen=True, slots=True)
class StateFacts:
    """The state without values: what decisions are made from."""

    uid: str
    rotated: datetime
    triggers: Triggers
    revisions: tuple[RevisionFacts, ...]
    """Every revision that is known, the newest first."""
    restorable: frozenset[int]
    """The revisions whose values are there."""
    current_number: int
    keys: Mapping[str, Mapping[str, str]]
    """The items of the current revision, each with the keys of its outputs."""
    templates: Mapping[str, str]
    lives: Mapping[str, Validity]
    publications: tuple[Publication, ...] = ()
    held: Held | None = None
    used: int = 0
    refreshed: datetime | None = None
    pushed: tuple[Pushed, ...] = ()
    loans: tuple[StoreLease, ...] = ()
    borrowed: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """The items of the current revision that are lent, each with the name of its loan."""
    lent_before: frozenset[str] = frozenset()
    """The loans that other revisions hold."""

    @property
    def newest(self) -> RevisionFacts:
        return self.revisions[0]

    @property
    def current(self) -> RevisionFacts:
        """The revision that the Secret must hold."""
        return next(one for one in self.revisions if one.number == self.current_number)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.keys)

    @property
    def every_key(self) -> frozenset[str]:
        return frozenset(key for keys in self.keys.values() for key in keys.values()) | self.templates.keys()

    def revision(self, number: int | None) -> RevisionFacts | None:
        return next((one for one in self.revisions if one.number == number), None)

    def pushed_to(self, place: str) -> Pushed | None:
        return next((one for one in self.pushed if one.place == place), None)


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is recorded of one ManagedSecret, the newest revision first."""

    uid: str
    """The UID of the ManagedSecret that these triggers were read from."""
    rotated: datetime
    triggers: Triggers
    revisions: tuple[Revision, ...]
    current_number: int
    """The revision that the Secret must hold: the newest, unless it was given up."""
    older: tuple[RevisionFacts, ...] = ()
    """The revisions whose values are gone."""
    publications: tuple[Publication, ...] = ()
    """The publications before the current one, of which the Secret itself tells; the newest first."""
    held: Held | None = None
    used: int = 0
    """The greatest number that is known from before an earlier record was lost."""
    refreshed: datetime | None = None
    """When pulled values were last taken in, or read because somebody asked for it."""
    pushed: tuple[Pushed, ...] = ()
    loans: tuple[StoreLease, ...] = ()
    """What stores have lent and do not have back."""

    @property
    def newest(self) -> Revision:
        return self.revisions[0]

    @property
    def current(self) -> Revision:
        return next(one for one in self.revisions if one.facts.number == self.current_number)

    def revision(self, number: int | None) -> Revision | None:
        return next((one for one in self.revisions if one.facts.number == number), None)

    def facts(self) -> StateFacts:
        current = self.current
        every = (*(one.facts for one in self.revisions), *self.older)
        return StateFacts(
            uid=self.uid,
            rotated=self.rotated,
            triggers=self.triggers,
            revisions=tuple(sorted(every, key=lambda one: one.number, reverse=True)),
            restorable=_shared_numbers(tuple(one.facts.number for one in self.revisions)),
            current_number=self.current_number,
            keys=_shared_keys(
                tuple((name, tuple(kept.keys.items())) for name, kept in sorted(current.values.items()))
            ),
            templates={key: rendered.template for key, rendered in current.rendered.items()},
            lives={name: kept.life for name, kept in current.values.items() if kept.life},
            publications=self.publications,
            held=self.held,
            used=self.used,
            refreshed=self.refreshed,
            pushed=self.pushed,
            loans=self.loans,
            borrowed=current.borrowed or _NOTHING,
            lent_before=_ids_in(one for one in self.revisions if one is not current),
        )

    def with_pushed(self, record: Pushed) -> State:
        others = tuple(one for one in self.pushed if one.place != record.place)
        return replace(self, pushed=(*others, record))

    def without_pushed(self, place: str) -> State:
        return replace(self, pushed=tuple(one for one in self.pushed if one.place != place))

    def with_loans(self, loans: Iterable[StoreLease]) -> State:
        new = {loan.id: loan for loan in loans}
        return replace(self, loans=tuple(({loan.id: loan for loan in self.loans} | new).values()))

    def without_loan(self, id_: str) -> State:
        return replace(self, loans=tuple(loan for loan in self.loans if loan.id != id_))

    def with_published(self, time: datetime | None) -> State:
        """Record when the current revision was published, before another one takes its place."""
        if time is None:
            return self
        made = Publication(self.current_number, time)
        return replace(self, publications=(made, *self.publications)[:_KEPT_FACTS])

    def with_current_facts(self, facts: RevisionFacts) -> State:
        changed = replace(self.current, facts=facts)
        return replace(
            self, revisions=tuple(changed if one is self.current else one for one in self.revisions)
        )

    def with_revision(self, revision: Revision, limit: int) -> State:
        """Put a newer revision on top and drop values that are older than the `limit` old ones to be kept.

        The last one on which every workload ran stays in any case: a rollout that fails goes back to it.
        """
        stay = {one.facts.number for one in self.revisions[:limit]} | {revision.facts.fallback}
        dropped = [one.facts for one in self.revisions if one.facts.number not in stay]
        return replace(
            self,
            revisions=(revision, *(one for one in self.revisions if one.facts.number in stay)),
            current_number=revision.facts.number,
            older=(*dropped, *self.older)[:_KEPT_FACTS],
            held=None,
        )

    def without_oldest(self) -> State | None:
        """Drop the values that can best be done without; None if there are none."""
        spare = [
            one
            for one in self.revisions
            if one.facts.number not in {self.current_number, self.current.facts.fallback}
        ]
        if not spare:
            return None
        left = tuple(one for one in self.revisions if one is not spare[-1])
        return replace(self, revisions=left, older=(spare[-1].facts, *self.older)[:_KEPT_FACTS])


# Facts of every object are kept in memory, and most of a cluster's secrets have one of a few shapes.


@functools.lru_cache(maxsize=1024)
def _shared_keys(
    keys: tuple[tuple[str, tuple[tuple[str, str], ...]], ...],
) -> Mapping[str, Mapping[str, str]]:
    return {name: dict(of_outputs) for name, of_outputs in keys}


def _ids_in(revisions: Iterable[Revision]) -> frozenset[str]:
    return frozenset(id_ for one in revisions for id_ in one.borrowed.values())


@functools.lru_cache(maxsize=1024)
def _shared_numbers(numbers: tuple[int, ...]) -> frozenset[int]:
    return frozenset(numbers)
