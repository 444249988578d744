"""Access log: readers of each managed secret, with first read, last read and count."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from keyturn.core.emergency.readers import Reader, ReaderStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .event import Access

__all__ = ["AccessLog", "AccessScope", "Dropped", "Entry", "crowd_of", "gathered"]

_MAX_PER_SCOPE: Final = 50
_ALL: Final = 50_000
_MAX_EMPTY: Final = 1_000
"""Deleted objects without an entry whose number of dropped readers is kept."""


class AccessScope(NamedTuple):
    """Scope of a request: one secret, a namespace (no name), or the cluster (neither)."""

    namespace: str
    name: str

    @property
    def reach(self) -> str:
        if self.name:
            return "secret"
        return "namespace" if self.namespace else "cluster"


@dataclass(slots=True)
class Entry:
    """Reads by one subject, or by one group of subjects, in one scope."""

    kind: str
    verbs: frozenset[str]
    first: datetime
    last: datetime
    kept: int = 0
    """Reads in the stored record, by all replicas."""
    fresh: int = 0
    """Reads since then, by this replica."""
    status: ReaderStatus = ReaderStatus.UNKNOWN
    """Status at its first read; NEW for a group that had a new subject."""

    def absorb(self, kept: Entry) -> None:
        """Add the stored counts; the fresh ones stay."""
        if kept.first < self.first:
            self.status = kept.status
        self._stretch(kept)
        self.kept = kept.kept

    def gather(self, one: Entry) -> None:
        """Add another subject to a group; the stored record lacks it."""
        self.widen(one)
        self.fresh += one.kept + one.fresh

    def widen(self, other: Entry) -> None:
        """Extend first and last read without the count."""
        if other.status is ReaderStatus.NEW:
            self.status = ReaderStatus.NEW
        self._stretch(other)

    def _stretch(self, other: Entry) -> None:
        self.verbs |= other.verbs
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


class Dropped(NamedTuple):
    """Readers of a scope without an entry, for lack of space."""

    readers: int = 0
    last: datetime = datetime.fromtimestamp(0, UTC)
    """The last read by one of them."""

    def plus(self, last: datetime) -> Dropped:
        """Add a reader with this last read."""
        return Dropped(self.readers + 1, max(self.last, last))

    def merged(self, other: Dropped) -> Dropped:
        """Merge the number of another replica: both drop the same readers, so the larger one counts."""
        return Dropped(max(self.readers, other.readers), max(self.last, other.last))


@dataclass(slots=True)
class _Page:
    """Readers of one scope, the last one last."""

    entries: OrderedDict[str, Entry] = field(default_factory=OrderedDict)
    forgotten: Dropped = field(default_factory=Dropped)
    exists: bool = False
    """Whether its scope has a managed object."""

    @property
    def last(self) -> datetime:
        return max(entry.last for entry in self.entries.values())

    def trim(self, most: int) -> None:
        """Limit the entries: group similar subjects, then drop those between the first and the last ones."""
        while len(self.entries) > most:
            if (found := gathered(self.entries, most)) is None:
                self._forget_one(most)
                continue
            crowd, members = found
            for subject in members:
                one = self.entries.pop(subject)
                if crowd in self.entries:
                    self.entries[crowd].gather(one)
                else:
                    self.entries[crowd] = one
            self.entries.move_to_end(crowd)

    def _forget_one(self, most: int) -> None:
        """Drop the reader with the oldest last read; the first ones stay, so that a burst does not displace them."""
        by_age = sorted(self.entries, key=lambda subject: self.entries[subject].first)
        dropped = self.entries.pop(min(by_age[most // 2 :], key=lambda subject: self.entries[subject].last))
        self.forgotten = self.forgotten.plus(dropped.last)

    def forget_all(self) -> None:
        """Drop all readers; another replica may have dropped them already."""
        self.forgotten = self.forgotten.merged(Dropped(len(self.entries), self.last))
        self.entries.clear()


@dataclass(slots=True)
class AccessLog:
    """Readers by scope, with limits per scope, per namespace and in total; a burst in one affects no other.

    Readers of a deleted object stay, as it may be created again, but take no space from those of others.
    """

    exists: Callable[[AccessScope], bool] = lambda _: True
    """Whether a scope has a managed object."""

    has_news: bool = False
    """Whether a new reader is not stored yet."""
    is_fresh: bool = False
    """Whether any read is not stored yet."""
    _pages: dict[AccessScope, _Page] = field(default_factory=dict)
    _of_namespace: Counter[str] = field(default_factory=Counter)

    @property
    def is_empty(self) -> bool:
        return not self._pages

    def note(self, scope: AccessScope, access: Access, status: ReaderStatus = ReaderStatus.UNKNOWN) -> None:
        page = self._page(scope)
        entry = page.entries.get(access.subject)
        if entry is None:
            entry = Entry(access.kind, frozenset(), access.time, access.time, status=status)
            page.entries[access.subject] = entry
            self.has_news = True
        if access.verb not in entry.verbs:
            entry.verbs |= {access.verb}
        entry.first, entry.last = min(entry.first, access.time), max(entry.last, access.time)
        entry.fresh += 1
        self.is_fresh = True
        page.entries.move_to_end(access.subject)
        page.trim(self._most(scope))

    def readers_of(self, namespace: str, names: Iterable[str], since: datetime) -> list[Reader]:
        """Return the readers of the named secrets since then, the last one first."""
        found = [
            _reader(scope, subject, entry, since)
            for scope in _scopes(namespace, names)
            if scope in self._pages
            for subject, entry in self._pages[scope].entries.items()
            if entry.last >= since
        ]
        return sorted(found, key=lambda one: one.last, reverse=True)

    def forgotten(self, namespace: str, names: Iterable[str]) -> int:
        """Return about how many readers of the named secrets were dropped."""
        pages = (self._pages[scope] for scope in _scopes(namespace, names) if scope in self._pages)
        return sum(page.forgotten.readers for page in pages)

    def merge(self, scope: AccessScope, subject: str, kept: Entry) -> None:
        """Add a stored entry of one subject."""
        page, most = self._page(scope), self._most(scope)
        if entry := page.entries.get(subject):
            entry.absorb(kept)
        elif len(page.entries) >= most and (crowd := page.entries.get(crowd_of(subject) or "")):
            crowd.widen(kept)  # its count may be included already
        else:
            page.entries[subject] = kept
            page.entries.move_to_end(subject, last=False)
            page.trim(most)

    def note_forgotten(self, scope: AccessScope, dropped: Dropped) -> None:
        """Merge the stored number of dropped readers."""
        page = self._page(scope)
        page.forgotten = page.forgotten.merged(dropped)

    def pages(self) -> Iterator[tuple[AccessScope, dict[str, Entry], Dropped]]:
        """Yield each scope with its entries, the last reader first, and its dropped readers.

        The log may change between two pages.
        """
        for scope, page in list(self._pages.items()):
            yield scope, dict(reversed(page.entries.items())), page.forgotten

    def sweep(self, since: datetime) -> Iterator[int]:
        """Drop readers and numbers before that time, and entries above the limits; yield the entries of each step.

        The log may change between two steps.
        """
        for scope, page in list(self._pages.items()):
            yield len(page.entries)
            page.exists = self.exists(scope)
            for subject in [one for one, entry in page.entries.items() if entry.last < since]:
                del page.entries[subject]
            if page.forgotten.last < since:
                page.forgotten = Dropped()
            if not page.entries and not page.forgotten.readers:
                del self._pages[scope]
        self._of_namespace = Counter(scope.namespace for scope, page in self._pages.items() if page.exists)
        for scope, page in list(self._pages.items()):
            yield len(page.entries)
            page.trim(self._most(scope))
        self._make_room()
        self._limit_empty()

    def _make_room(self) -> None:
        """Drop readers of deleted objects, the oldest page first, while there are too many entries."""
        excess = sum(len(page.entries) for page in self._pages.values()) - _ALL
        if excess <= 0:
            return
        gone = [page for page in self._pages.values() if page.entries and not page.exists]
        for page in sorted(gone, key=lambda page: page.last):
            if excess <= 0:
                break
            excess -= len(page.entries)
            page.forget_all()

    def _limit_empty(self) -> None:
        """Drop the oldest pages of deleted objects without an entry; their namespace keeps the largest number."""
        empty = [
            (scope, page.forgotten)
            for scope, page in self._pages.items()
            if scope.name and not page.entries and not page.exists
        ]
        for scope, dropped in sorted(empty, key=lambda one: one[1].last)[:-_MAX_EMPTY]:
            del self._pages[scope]
            self.note_forgotten(AccessScope(scope.namespace, ""), dropped)

    def _page(self, scope: AccessScope) -> _Page:
        page = self._pages.setdefault(scope, _Page())
        if not page.exists and self.exists(scope):
            page.exists = True
            self._of_namespace[scope.namespace] += 1
        return page

    def _most(self, scope: AccessScope) -> int:
        """Return the limit of a scope: namespaces have equal shares, and so have the scopes of each."""
        share = _ALL // max(1, len(self._of_namespace))
        return max(2, min(_MAX_PER_SCOPE, share // max(1, self._of_namespace[scope.namespace])))


def _scopes(namespace: str, names: Iterable[str]) -> tuple[AccessScope, ...]:
    """Return the scopes that include a read of the named secrets."""
    return (
        *(AccessScope(namespace, name) for name in names),
        AccessScope(namespace, ""),
        AccessScope("", ""),
    )


def _reader(scope: AccessScope, subject: str, entry: Entry, since: datetime) -> Reader:
    return Reader(
        subject=subject,
        kind=entry.kind,
        verbs=entry.verbs,
        first=entry.first,
        last=entry.last,
        count=entry.kept + entry.fresh,
        reach=scope.reach,
        status=_status_of(subject, entry, since),
    )


def _status_of(subject: str, entry: Entry, since: datetime) -> ReaderStatus:
    """Return whether a reader was new after a time; unknown for a group."""
    is_crowd = crowd_of(subject) == subject
    if entry.status is ReaderStatus.NEW and is_crowd:
        return ReaderStatus.NEW
    return entry.status if entry.first >= since else ReaderStatus.KNOWN


_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"
_AS: Final = " as "
_KEPT_MEMBERS: Final = 5
"""The first members of a group keep an entry of their own, if there is space."""


def crowd_of(subject: str) -> str | None:
    """Return the group of a reader: accounts of a namespace, nodes, or names that one subject impersonates."""
    who, acts_as, _ = subject.partition(_AS)
    if acts_as:
        return f"{who}{_AS}*"
    if subject.startswith(_ACCOUNT):
        return f"{subject.rpartition(':')[0]}:*"
    return f"{_NODE}*" if subject.startswith(_NODE) else None


def gathered(entries: Mapping[str, Entry], most: int) -> tuple[str, list[str]] | None:
    """Return the largest group with the members that lose their entry; None if that saves no space."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for subject in entries:
        crowd = crowd_of(subject)
        if crowd and crowd != subject:
            members[crowd].append(subject)
    alone = min(_KEPT_MEMBERS, most // 4)
    found = {crowd: _late(subjects, entries, alone) for crowd, subjects in members.items()}
    # One member is no group, unless the group exists already.
    found = {crowd: late for crowd, late in found.items() if len(late) > 1 or (late and crowd in entries)}
    return max(found.items(), key=lambda one: len(one[1]), default=None)


def _late(subjects: list[str], entries: Mapping[str, Entry], alone: int) -> list[str]:
    return sorted(subjects, key=lambda subject: entries[subject].first)[alone:]
