"""Record of a ManagedSecret in its state Secret: values of the last revisions, triggers, pushes and leases."""

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Self

from keyturn.api.status import HistoryEntry
from keyturn.core.keys import STATE_SUFFIX

from .records import Credential, Phase, Revision, RevisionFacts, StoreLease, Validity, last_good

_NO_ITEMS: Mapping[str, str] = MappingProxyType({})
_NO_LEASES: Mapping[int, frozenset[str]] = MappingProxyType({})
_MAX_CLOSED = 4
"""Closed credentials that stay recorded as evidence."""
_MOST_SHARED = 64
"""Items of a set of keys that is shared."""
MAX_FACTS = 100
"""Publications, and revisions without values, that stay recorded to compute what an old workload has missed."""


def state_name(name: str) -> str:
    """Return the name of the state Secret of the ManagedSecret `name`."""
    return f"{name}{STATE_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Triggers:
    """Requests that were handled: `rotation.trigger`, and annotations."""

    spec: str | None = None
    annotation: str | None = None
    last: str | None = None
    """The last handled request for a rotation."""
    rollback: str | None = None
    refresh: str | None = None

    @classmethod
    def at_first(cls, asked: Self) -> Self:
        """Return triggers with all requests of a new object marked as handled."""
        return cls().with_handled(asked).with_refreshed(asked)

    def unhandled(self, asked: Self) -> tuple[str, ...]:
        """Return the requests for a rotation in `asked` that are not handled yet."""
        pairs = ((asked.spec, self.spec), (asked.annotation, self.annotation))
        return tuple(new for new, old in pairs if new is not None and new != old)

    def with_handled(self, asked: Self) -> Self:
        """Return triggers with the requests in `asked` marked as handled; removed requests stay handled."""
        new = self.unhandled(asked)
        return replace(
            self,
            spec=self.spec if asked.spec is None else asked.spec,
            annotation=self.annotation if asked.annotation is None else asked.annotation,
            last=new[0] if new else self.last,
            rollback=self.rollback if asked.rollback is None else asked.rollback,
        )

    def with_refreshed(self, asked: Self) -> Self:
        """Return triggers with only the request to read the stores marked as handled."""
        return self if asked.refresh is None else replace(self, refresh=asked.refresh)


@dataclass(frozen=True, slots=True)
class Publication:
    """Publication of a revision to the target Secret, the first one or a rollback."""

    number: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Pushed:
    """Record of a push to a key of a store, done or intended."""

    place: str
    """The destination: the `id` of a `Destination`."""
    text: str
    """What is pushed and how: the `text` of a `Destination`."""
    number: int
    """The revision of the pushed values."""
    done: bool
    deletes: bool
    """Whether the key is deleted at the store when it is no longer pushed."""
    kept: bool = False
    """Whether the store already had other content, which was left unchanged."""
    ours: bool = False
    """Whether a push wrote the key or found its own content; `kept` content is then of an earlier revision."""

    def has(self, number: int | None) -> bool:
        """Whether the values of a revision are pushed."""
        return self.done and self.number == number

    @property
    def is_foreign(self) -> bool:
        """Whether another writer created the key, which is then not deleted."""
        return self.kept and not self.ours


@dataclass(frozen=True, slots=True)
class RollbackPause:
    """A rollback, after which scheduled rotation is paused."""

    number: int
    """The revision that was rolled back."""
    generation: int
    """The generation of the spec at the rollback."""
    at: datetime
    failed: bool
    """Whether a failed rollout caused it; otherwise a user requested it."""
    cause: str = ""
    """The failed workloads with pods and reasons, for people; empty if a user requested the rollback."""
    lasts: bool = True
    """Whether the pause lasts until a request or change of the spec; otherwise it ends at the next scheduled date."""


@dataclass(frozen=True, slots=True)
class StateFacts:
    """Facts of the state, without values; decisions use only these."""

    uid: str
    """UID of the ManagedSecret that the handled triggers belong to."""
    rotated: datetime
    triggers: Triggers
    revisions: tuple[RevisionFacts, ...]
    """Every known revision, the newest first."""
    restorable: frozenset[int]
    """Revisions whose values are still recorded."""
    current_number: int
    """The revision that the Secret must hold: the newest, unless it was rolled back."""
    keys: Mapping[str, Mapping[str, str]]
    """Items of the current revision, with the key of each output."""
    templates: Mapping[str, str]
    lives: Mapping[str, Validity]
    publications: tuple[Publication, ...] = ()
    """Earlier publications, the newest first; the current one is in the target Secret's annotations."""
    rollback_pause: RollbackPause | None = None
    used: int = 0
    """Highest revision number known from before an earlier record was lost."""
    refreshed: datetime | None = None
    """When pulled values last changed, or were read on request."""
    refreshed_for: frozenset[str] = frozenset()
    """UIDs of the emergencies for which the stores were read."""
    pushed: tuple[Pushed, ...] = ()
    leases: tuple[StoreLease, ...] = ()
    """Leases that are not revoked yet."""
    leases_by_item: Mapping[str, str] = field(default_factory=lambda: _NO_ITEMS)
    """Lease identifiers by item of the current revision, for the items with a lease."""
    leases_by_revision: Mapping[int, frozenset[str]] = field(default_factory=lambda: _NO_LEASES)
    """Lease identifiers by revision, for the restorable ones with a lease."""
    credentials: tuple[Credential, ...] = ()
    """Credentials of the database account, the newest first; empty without `spec.account`."""
    history: tuple[HistoryEntry, ...] = ()
    """The history at the last write: an older CRD removes it from the status."""

    @property
    def newest(self) -> RevisionFacts:
        return self.revisions[0]

    @property
    def current(self) -> RevisionFacts:
        """The revision that the Secret must hold."""
        return next(revision for revision in self.revisions if revision.number == self.current_number)

    @property
    def overlap_start(self) -> RevisionFacts:
        """The revision that began the overlap of the current one."""
        return self.revision(self.current.overlap_from) or self.current

    @property
    def released(self) -> datetime:
        """The last recorded time before the publication of the current revision.

        It was generated then, restored by a rollback, or its own credential was proven; another one was published.
        """
        times = [self.current.made, *(before.time for before in self.publications[:1])]
        credential = self.credential(self.current_number)
        if self.rollback_pause:
            times.append(self.rollback_pause.at)
        elif credential and credential.proven_at:
            times.append(credential.proven_at)
        return max(times)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.keys)

    @property
    def last_rotation(self) -> datetime:
        """When a value was last generated by schedule or on request."""
        return max([self.rotated, *self.dates.values()])

    @property
    def dates(self) -> Mapping[str, datetime]:
        """When the items with a schedule of their own were generated last."""
        return (self.candidate or self.current).dates

    @property
    def every_key(self) -> frozenset[str]:
        return frozenset(key for keys in self.keys.values() for key in keys.values()) | self.templates.keys()

    def revision(self, number: int | None) -> RevisionFacts | None:
        return next((revision for revision in self.revisions if revision.number == number), None)

    def lineage(self, number: int | None) -> Iterator[RevisionFacts]:
        """Yield a revision, then those that it is derived from, as far as they are recorded."""
        known = {one.number: one for one in self.revisions}
        while number is not None and (one := known.pop(number, None)):
            yield one
            number = one.base

    @property
    def candidate(self) -> RevisionFacts | None:
        """The newest revision, if the database server has yet to accept its credential before it becomes current."""
        newest = self.newest
        if newest.number == self.current_number:
            return None
        credential = self.credential(newest.number)
        return newest if credential and credential.is_candidate else None

    @property
    def last_new_credential(self) -> RevisionFacts | None:
        """The newest revision that brought a credential; None without one."""
        return next((one for one in self.revisions if one.credential == one.number), None)

    @property
    def is_rolled_back(self) -> bool:
        """Whether the current revision is an earlier one because the newest was rolled back."""
        return (
            self.current_number != self.newest.number and not self.newest.abandoned and self.candidate is None
        )

    def credential(self, number: int | None) -> Credential | None:
        """Return the credential whose password a revision brought, or None."""
        return next((one for one in self.credentials if one.revision == number), None)

    def credential_of(self, number: int | None) -> Credential | None:
        """Return the credential that the Secret has with a revision, or None."""
        revision = self.revision(number)
        return self.credential(revision.credential) if revision and revision.credential else None

    @property
    def current_credential(self) -> Credential | None:
        """The credential of the current revision; it is published once it is proven."""
        return self.credential_of(self.current_number)

    @property
    def open_credentials(self) -> tuple[Credential, ...]:
        """Credentials that the server may accept."""
        return tuple(one for one in self.credentials if one.is_open)

    @property
    def gives_up_credential(self) -> bool:
        """Whether a credential that the current one did not supersede is still to be closed."""
        current = self.current_credential
        later = (one for one in self.credentials if current is None or one.revision > current.revision)
        given_up = ((one, self.revision(one.revision)) for one in later if one.is_closing)
        return any(revision is not None and not revision.abandoned for _, revision in given_up)

    @property
    def _protected(self) -> frozenset[int | None]:
        """Revisions whose values are always kept: the current one, the last good one, those of open credentials."""
        opened = {one.revision for one in self.credentials if one.is_open}
        return frozenset({self.current_number, last_good(self.current, self.revisions), *opened})

    def with_credential(self, credential: Credential) -> Self:
        """Return the facts with a credential in place of that of the same revision; old evidence is dropped."""
        others = (one for one in self.credentials if one.revision != credential.revision)
        ordered = sorted((credential, *others), key=lambda one: one.revision, reverse=True)
        closed = [one.revision for one in ordered if not one.is_open][_MAX_CLOSED:]
        return replace(
            self, credentials=tuple(one for one in ordered if one.revision not in closed or one.is_open)
        )

    def with_phase(self, phase: Phase, now: datetime, numbers: Collection[int]) -> Self:
        """Return the facts with the credentials that these revisions brought in another phase since `now`."""
        changed = self
        for one in self.credentials:
            if one.revision in numbers:
                changed = changed.with_credential(one.at(phase, now))
        return changed

    def pushed_to(self, place: str) -> Pushed | None:
        return next((record for record in self.pushed if record.place == place), None)

    def with_pushed(self, record: Pushed) -> Self:
        others = tuple(known for known in self.pushed if known.place != record.place)
        return replace(self, pushed=(*others, record))

    def without_pushed(self, place: str) -> Self:
        return replace(self, pushed=tuple(record for record in self.pushed if record.place != place))

    def with_leases(self, leases: Iterable[StoreLease]) -> Self:
        known = {lease.id: lease for lease in self.leases}
        for lease in leases:
            is_carried = lease.id in known and known[lease.id].is_carried
            known[lease.id] = replace(lease, is_carried=True) if is_carried else lease
        return replace(self, leases=tuple(known.values()))

    def without_lease(self, id_: str) -> "StateFacts":
        return replace(self, leases=tuple(lease for lease in self.leases if lease.id != id_))

    def with_published(self, time: datetime | None) -> "StateFacts":
        """Return the facts with the time at which the current revision, which is replaced next, was published."""
        if time is None:
            return self
        made = Publication(self.current_number, time)
        return replace(self, publications=(made, *self.publications)[:MAX_FACTS])

    def with_revision_facts(self, facts: RevisionFacts) -> "StateFacts":
        """Return the facts with other ones of the same revision."""
        changed = (facts if one.number == facts.number else one for one in self.revisions)
        return replace(self, revisions=tuple(changed))

    def with_revision(self, revision: RevisionFacts, limit: int) -> "StateFacts":
        """Return the facts with a newer revision; the values of only the `limit` latest earlier ones are kept.

        The last revision on which every workload ran is always kept, because a failed rollout returns to it, and so
        are those with the password of an open credential.
        """
        recorded = [one.number for one in self.revisions if one.number in self.restorable]
        opened = {one.revision for one in self.credentials if one.is_open}
        stay = self.restorable & {*recorded[:limit], last_good(revision, self.revisions), *opened}
        newer = replace(
            self,
            revisions=(revision, *self.revisions),
            restorable=stay | {revision.number},
            current_number=revision.number,
            rollback_pause=None,
        )
        return newer.with_older(MAX_FACTS)

    def with_candidate(self, revision: RevisionFacts, limit: int) -> "StateFacts":
        """Return the facts with a newer revision that does not become the current one yet."""
        newer = replace(self.with_revision(revision, limit), current_number=self.current_number)
        kept = self.restorable & {self.current_number, last_good(self.current, self.revisions)}
        return replace(newer, restorable=newer.restorable | kept)

    @property
    def older(self) -> tuple[RevisionFacts, ...]:
        """Revisions whose values are dropped."""
        return tuple(one for one in self.revisions if one.number not in self.restorable)

    def with_older(self, limit: int) -> "StateFacts":
        """Return the facts with only `limit` of the revisions whose values are dropped.

        One whose keys have all changed again is forgotten first, so that what a workload with an old marker has
        missed stays known; without one, the oldest is.
        """
        facts: StateFacts = self
        while excess := facts.older[limit:]:
            repeated = _repeated(facts)
            facts = _without(repeated, facts) if repeated else _forgetting(excess[-1], facts)
        return facts

    def without_oldest(self) -> "StateFacts | None":
        """Return the facts without the oldest values but those of current and fallback; None if there are none."""
        spare = self.restorable - self._protected
        if not spare:
            return None
        return replace(self, restorable=self.restorable - {min(spare)}).with_older(MAX_FACTS)


def _repeated(facts: StateFacts) -> RevisionFacts | None:
    """Return the oldest revision without values that changed only what each one derived from it changed again."""
    derived: dict[int | None, list[RevisionFacts]] = {}
    for one in facts.revisions:
        derived.setdefault(one.base, []).append(one)
    for one in reversed(facts.older):
        later = derived.get(one.number, [])
        if later and facts.revision(one.base) and all(one.changed <= another.changed for another in later):
            return one
    return None


def _without(one: RevisionFacts, facts: StateFacts) -> StateFacts:
    """Return the facts with the base of a revision in its place, which differs from later ones in the same keys."""
    revisions = (
        replace(known, base=one.base) if known.base == one.number else known for known in facts.revisions
    )
    publications = (
        replace(known, number=one.base or known.number) if known.number == one.number else known
        for known in facts.publications
    )
    return _forgetting(one, replace(facts, revisions=tuple(revisions), publications=tuple(publications)))


def _forgetting(one: RevisionFacts, facts: StateFacts) -> StateFacts:
    return replace(facts, revisions=tuple(known for known in facts.revisions if known.number != one.number))


@dataclass(frozen=True, slots=True)
class State:
    """Record of one ManagedSecret: facts, and the values of the restorable revisions; made by `State.of`."""

    facts: StateFacts
    revisions: Mapping[int, Revision]
    """Values by number, the newest first."""

    @classmethod
    def of(cls, facts: StateFacts, revisions: Mapping[int, Revision]) -> Self:
        """Return a state of these revisions; they determine the facts about values."""
        ordered = {number: revisions[number] for number in sorted(revisions, reverse=True)}
        current = ordered[facts.current_number]
        by_revision = {
            number: frozenset(one.leases_by_item.values())
            for number, one in ordered.items()
            if one.leases_by_item
        }
        carried = frozenset[str]().union(*by_revision.values())
        known = replace(
            facts,
            restorable=_shared_numbers(tuple(ordered)),
            keys=_keys_of(current),
            templates={key: rendered.template for key, rendered in current.rendered.items()},
            lives={name: kept.life for name, kept in current.values.items() if kept.life},
            leases_by_item=current.leases_by_item or _NO_ITEMS,
            leases_by_revision=by_revision or _NO_LEASES,
            leases=tuple(
                replace(one, is_carried=True) if one.id in carried and not one.is_carried else one
                for one in facts.leases
            ),
        )
        return cls(known, ordered)

    @classmethod
    def newer(cls, facts: StateFacts, revision: Revision, before: Self | None) -> Self:
        """Return the state with a new revision, without the values of revisions that `facts` drops."""
        revisions = {**(before.revisions if before else {}), facts.newest.number: revision}
        return cls.of(facts, {number: revisions[number] for number in facts.restorable})

    @property
    def current(self) -> Revision:
        """Values of the revision that the Secret must hold."""
        return self.revisions[self.facts.current_number]

    def with_facts(self, facts: StateFacts) -> Self:
        """Return the state after a change of its facts, without the values of revisions that it drops."""
        return self.of(facts, {number: self.revisions[number] for number in facts.restorable})


# Facts of every object stay in memory; equal key sets, which most secrets of a cluster have, are shared.


def _keys_of(revision: Revision) -> Mapping[str, Mapping[str, str]]:
    """Return the key of each output; a large set is not shared, because what is shared is kept."""
    keys = tuple((name, tuple(kept.keys.items())) for name, kept in sorted(revision.values.items()))
    return _shared_keys(keys) if len(keys) <= _MOST_SHARED else _shared_keys.__wrapped__(keys)


@functools.lru_cache(maxsize=1024)
def _shared_keys(
    keys: tuple[tuple[str, tuple[tuple[str, str], ...]], ...],
) -> Mapping[str, Mapping[str, str]]:
    return {name: dict(of_outputs) for name, of_outputs in keys}


@functools.lru_cache(maxsize=1024)
def _shared_numbers(numbers: tuple[int, ...]) -> frozenset[int]:
    return frozenset(numbers)
